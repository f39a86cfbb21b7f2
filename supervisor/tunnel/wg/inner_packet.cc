#include "supervisor/tunnel/wg/inner_packet.h"

namespace icon::tunnel::wg {
namespace {

constexpr std::size_t kHeaderBytesV4 = 20;
constexpr std::size_t kHeaderBytesV6 = 40;

std::size_t get_big_endian_u16(const std::uint8_t* in) { return std::size_t{in[0]} << 8 | in[1]; }

}  // namespace

std::optional<InnerPacket> parse_inner_packet(Bytes text) {
  if (text.empty()) return std::nullopt;
  InnerPacket packet;
  if (text[0] >> 4 == 4) {
    if (text.size() < kHeaderBytesV4) return std::nullopt;
    const std::size_t header_bytes = std::size_t{text[0] & 0x0fU} * 4;
    packet.bytes = get_big_endian_u16(text.data() + 2);
    if (header_bytes < kHeaderBytesV4 || packet.bytes < header_bytes) return std::nullopt;
    packet.source = text.data() + 12;
    packet.destination = text.data() + 16;
  } else if (text[0] >> 4 == 6) {
    if (text.size() < kHeaderBytesV6) return std::nullopt;
    packet.is_v4 = false;
    packet.bytes = kHeaderBytesV6 + get_big_endian_u16(text.data() + 4);
    packet.source = text.data() + 8;
    packet.destination = text.data() + 24;
  } else {
    return std::nullopt;
  }
  if (packet.bytes > text.size()) return std::nullopt;
  return packet;
}

}  // namespace icon::tunnel::wg
