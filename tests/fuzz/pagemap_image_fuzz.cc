// A checkpoint's page map and a page stream's header, as a peer may send them.
#include <algorithm>

#include "migration/memory/page_stream.h"
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
  std::array<std::uint8_t, kFrameHeaderBytes> header{};
  std::copy_n(data, std::min(input.size(), header.size()), header.begin());
  if (const auto frame = FrameHeader::decode(header))
    ICON_FUZZ_REQUIRE(frame->encode() == header && frame->pages <= kFramePagesMax);
}

}  // namespace icon::migration
