// One text per value: what decodes is the encoding of what it decodes to.
#include "base/encoding.h"
#include "base/keys.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon {

ICON_FUZZ_TARGET(encoding) {
  if (const auto bytes = hex_decode(input, 64)) ICON_FUZZ_REQUIRE(hex_encode(*bytes) == input);
  if (const auto bytes = base64_decode(input, 64))
    ICON_FUZZ_REQUIRE(base64_encode(*bytes) == input);
  if (const auto bytes = base32_decode(input, 64))
    ICON_FUZZ_REQUIRE(base32_encode(*bytes) == input);
  if (const auto key = PublicKey::from_id(input)) ICON_FUZZ_REQUIRE(key->id() == input);
}

}  // namespace icon
