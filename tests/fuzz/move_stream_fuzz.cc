// The frames of a stranger's move, cut into pieces anywhere. The first byte says how long they are.
#include "migration/move_stream.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon::migration {

ICON_FUZZ_TARGET(move_stream) {
  if (input.empty()) return;
  const std::size_t step = 1 + static_cast<std::uint8_t>(input.front());
  FrameReader reader;
  std::size_t body = 0;
  for (std::size_t at = 1; at < input.size(); at += step) {
    std::span<const char> rest(input.data() + at, std::min(step, input.size() - at));
    while (true) {
      const std::size_t before = rest.size();
      const auto piece = reader.next(rest);
      if (!piece) return;
      if (!*piece) {
        ICON_FUZZ_REQUIRE(rest.empty());
        break;
      }
      ICON_FUZZ_REQUIRE((*piece)->bytes.size() <= before);
      const auto again = FrameHeader::decode((*piece)->frame.encode());
      ICON_FUZZ_REQUIRE(again && again->count == (*piece)->frame.count);
      if ((*piece)->begins) body = 0;
      body += (*piece)->bytes.size();
      ICON_FUZZ_REQUIRE(body <= (*piece)->frame.body_bytes());
      ICON_FUZZ_REQUIRE((*piece)->ends == (body == (*piece)->frame.body_bytes()));
      ICON_FUZZ_REQUIRE(!reader.is_complete() ||
                        (*piece)->frame.kind == FrameHeader::Kind::kManifest);
    }
  }
}

}  // namespace icon::migration
