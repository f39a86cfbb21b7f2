// Inner packets from a peer that is authentic but not to be trusted: put together, and cut again.
// Two bytes of length, then the packet, and so on.
#include <algorithm>
#include <cstring>
#include <vector>

#include "supervisor/tunnel/coalesce.h"
#include "supervisor/tunnel/segment.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon::tunnel {
namespace {

// Cuts what it is given, as the kernel would.
class Cutter final : public PacketWriter {
 public:
  void write_packet(std::span<const iovec> parts) override {
    OffloadHeader header;
    std::memcpy(&header, parts[0].iov_base, sizeof header);
    std::vector<std::uint8_t> packet;
    for (const auto& part : parts.subspan(1)) {
      const auto* bytes = static_cast<const std::uint8_t*>(part.iov_base);
      packet.insert(packet.end(), bytes, bytes + part.iov_len);
    }
    ICON_FUZZ_REQUIRE(packet.size() <= Coalescer::kBytesMax);
    if (header.type == kOffloadNone) return sizes.push_back(packet.size());
    const auto segmenter = Segmenter::of(header, packet);
    ICON_FUZZ_REQUIRE(segmenter.has_value());
    for (std::size_t i = 0; i < segmenter->count(); ++i) {
      std::vector<std::uint8_t> segment(segmenter->bytes(i));
      segmenter->write(i, segment.data());
      sizes.push_back(segment.size());
    }
  }
  std::vector<std::size_t> sizes;
};

}  // namespace

ICON_FUZZ_TARGET(tunnel_packets) {
  std::vector<std::vector<std::uint8_t>> packets;
  std::vector<std::size_t> sizes;
  while (input.size() >= 2) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(input.data());
    const std::size_t length = std::min<std::size_t>(get_be16(bytes), input.size() - 2);
    packets.emplace_back(bytes + 2, bytes + 2 + length);
    sizes.push_back(length);
    input.remove_prefix(2 + length);
  }
  // A packet that claims to be a burst.
  if (!packets.empty() && packets[0].size() > sizeof(OffloadHeader)) {
    OffloadHeader header;
    std::memcpy(&header, packets[0].data(), sizeof header);
    const auto segmenter =
        Segmenter::of(header, std::span(packets[0]).subspan(sizeof(OffloadHeader)));
    for (std::size_t i = 0; segmenter && i < segmenter->count() && i < 64; ++i) {
      std::vector<std::uint8_t> segment(segmenter->bytes(i));
      segmenter->write(i, segment.data());
    }
  }
  Cutter cutter;
  Coalescer coalescer(cutter, {});
  for (auto& packet : packets) coalescer.add(packet);
  coalescer.flush();
  std::ranges::sort(sizes);
  std::ranges::sort(cutter.sizes);
  ICON_FUZZ_REQUIRE(sizes == cutter.sizes);
}

}  // namespace icon::tunnel
