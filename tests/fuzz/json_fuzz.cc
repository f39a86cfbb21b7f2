// Whatever parses has one canonical text, and that text means the same.
#include "base/json.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon {

ICON_FUZZ_TARGET(json) {
  const auto value = json::parse(input, 1 << 16);
  if (!value) return;
  const auto text = json::canonical(*value);
  if (!text) return;
  // Escapes make it longer than what was read, at most six times.
  const auto again = json::parse(*text, 8 << 16);
  ICON_FUZZ_REQUIRE(again.has_value());
  ICON_FUZZ_REQUIRE(*json::canonical(*again) == *text);
}

}  // namespace icon
