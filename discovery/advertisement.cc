#include "discovery/advertisement.h"

#include <algorithm>

#include "wire/advertisement.h"
#include "wire/envelope.h"

namespace icon::discovery {

Result<ProviderCandidate> read_advertisement(const DhtValue& value, UtcMillis now_ms) {
  if (value.value.size() > wire::kAdvertisementBytesMax)
    return fail(Code::kLimit, "an advertisement of more than " +
                                  std::to_string(wire::kAdvertisementBytesMax) + " bytes");
  ICON_TRY(const auto envelope, wire::parse_envelope(value.value));
  ICON_TRY(const auto word, wire::open<wire::Advertisement>(envelope));
  ICON_CHECK(wire::check_times(word.issued_ms, word.expires_ms, now_ms));
  if (std::none_of(word.networks.begin(), word.networks.end(),
                   [&](const Prefix& network) { return network.to_string() == value.key; }))
    return fail(Code::kInvalid, "an advertisement for other networks");
  for (const Endpoint& api : word.apis)
    if (api.address.is_non_public())
      return fail(Code::kInvalid, api.address.to_string() + " is not a public address");
  ProviderCandidate candidate;
  candidate.name = word.name;
  candidate.id = word.provider;
  candidate.api = word.apis.front();
  candidate.other_apis.assign(word.apis.begin() + 1, word.apis.end());
  candidate.source = "dht";
  return candidate;
}

}  // namespace icon::discovery
