// The TXT record beside a provider's SRV record: a stranger's words, shown to people.
#include "discovery/provider.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon::discovery {
namespace {

bool printable(std::string_view text) {
  for (const char c : text)
    if (c < 0x20 || c > 0x7e) return false;
  return true;
}

}  // namespace

ICON_FUZZ_TARGET(provider_text) {
  const auto text = parse_provider_text(input);
  if (!text) return;
  ICON_FUZZ_REQUIRE(is_provider_text(input));
  ICON_FUZZ_REQUIRE(input.size() <= kProviderTextBytesMax);
  for (const auto* value : {&text->location, &text->attestation}) {
    ICON_FUZZ_REQUIRE(value->size() <= kProviderTextValueBytesMax);
    ICON_FUZZ_REQUIRE(printable(*value));
  }
  ICON_FUZZ_REQUIRE(text->host.empty() || *normalise_name(text->host) == text->host);
  if (text->id) ICON_FUZZ_REQUIRE(PublicKey::from_id(text->id->id()).has_value());
}

}  // namespace icon::discovery
