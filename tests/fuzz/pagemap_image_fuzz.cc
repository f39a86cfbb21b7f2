// A checkpoint's page map, as a peer may send it.
#include "migration/memory/pagemap_image.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon::migration {

ICON_FUZZ_TARGET(pagemap_image) {
  const auto* data = reinterpret_cast<const std::uint8_t*>(input.data());
  if (const auto ranges = lazy_ranges({data, input.size()})) {
    std::uint64_t before = 0;
    for (const auto& range : *ranges) {
      ICON_FUZZ_REQUIRE(range.start < range.end && range.end <= 1ull << 47);
      ICON_FUZZ_REQUIRE(range.start % kPageBytes == 0 && range.end % kPageBytes == 0);
      ICON_FUZZ_REQUIRE(before == 0 || range.start > before);
      before = range.end;
    }
  }
}

}  // namespace icon::migration
