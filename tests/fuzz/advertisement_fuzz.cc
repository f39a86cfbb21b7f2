// What anybody may put into a DHT is taken only when the provider that it is about has signed it,
// for the network that was asked about, with addresses where a stranger may be asked.
#include <boost/json/serialize.hpp>

#include "discovery/advertisement.h"
#include "tests/fuzz/fuzz_target.h"
#include "wire/advertisement.h"
#include "wire/envelope.h"

namespace icon::discovery {

ICON_FUZZ_TARGET(advertisement) {
  constexpr UtcMillis kNow = 1'700'000'000'000;
  const std::string key = "203.0.113.0/24";
  static const KeyPair signer = KeyPair::from_seed({1});
  const auto refused = read_advertisement({key, std::string(input)}, kNow);
  ICON_FUZZ_REQUIRE(refused || !refused.error().message.empty());
  // The same body under our signature: now only its words count.
  const auto envelope = wire::parse_envelope(input);
  if (!envelope) return;
  auto body = envelope->body;
  body["provider"] = signer.id();
  const auto sealed = wire::seal(signer, "advertisement", std::move(body));
  if (!sealed) return;
  const auto taken = read_advertisement({key, boost::json::serialize(sealed->to_json())}, kNow);
  if (!taken) return;
  ICON_FUZZ_REQUIRE(taken->id == signer.public_key());
  ICON_FUZZ_REQUIRE(taken->source == "dht");
  ICON_FUZZ_REQUIRE(!taken->api.address.is_non_public());
  ICON_FUZZ_REQUIRE(taken->other_apis.size() < wire::kAdvertisedApisMax);
  for (const Endpoint& api : taken->other_apis) ICON_FUZZ_REQUIRE(!api.address.is_non_public());
}

}  // namespace icon::discovery
