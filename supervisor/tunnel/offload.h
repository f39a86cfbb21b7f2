// What the TUN device and we tell each other about a packet that is still to be cut or summed
// (virtio_net_hdr), and the Internet checksum (RFC 1071). Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace icon::tunnel {

// struct virtio_net_hdr as the device gives and takes it with IFF_VNET_HDR: in host byte order.
struct OffloadHeader {
  std::uint8_t flags = 0;
  std::uint8_t type = 0;
  std::uint16_t header_bytes = 0;
  std::uint16_t segment_bytes = 0;    // of payload
  std::uint16_t checksum_start = 0;   // from the IP header on
  std::uint16_t checksum_offset = 0;  // from checksum_start on
};
inline constexpr std::size_t kOffloadHeaderBytes = sizeof(OffloadHeader);
static_assert(kOffloadHeaderBytes == 10);

inline constexpr std::uint8_t kNeedsChecksum = 1;  // flags
inline constexpr std::uint8_t kOffloadNone = 0;    // types
inline constexpr std::uint8_t kOffloadTcp4 = 1;
inline constexpr std::uint8_t kOffloadTcp6 = 4;
inline constexpr std::uint8_t kOffloadUdp = 5;
inline constexpr std::uint8_t kOffloadEcnBit = 0x80;  // the first segment carries CWR

inline constexpr std::uint8_t kProtocolTcp = 6;
inline constexpr std::uint8_t kProtocolUdp = 17;
inline constexpr std::size_t kIpv4Bytes = 20;
inline constexpr std::size_t kIpv6Bytes = 40;
inline constexpr std::size_t kTcpBytes = 20;
inline constexpr std::size_t kUdpBytes = 8;
inline constexpr std::size_t kTcpChecksumAt = 16;
inline constexpr std::size_t kUdpChecksumAt = 6;

// Sums are of 16-bit words in memory order, not folded; parts of one packet add up as long as each
// begins at an even offset.
std::uint64_t sum_bytes(std::span<const std::uint8_t> bytes, std::uint64_t sum = 0);
// The same in one pass with a copy to `out`, which is as long.
std::uint64_t copy_and_sum(std::span<const std::uint8_t> bytes, std::uint8_t* out,
                           std::uint64_t sum = 0);
// What a checksum field holds in memory: the complement of the folded sum.
std::uint16_t checksum_of(std::uint64_t sum);
// The folded sum itself: 0xffff when a checksum is right; what a field holds beforehand when the
// kernel is to do the rest.
std::uint16_t fold_sum(std::uint64_t sum);
// Of the pseudo header. `ip` is an IPv4 or IPv6 header, `bytes` the length from the TCP or UDP
// header on.
std::uint64_t pseudo_sum(const std::uint8_t* ip, std::uint8_t protocol, std::size_t bytes);

inline std::uint16_t get_be16(const std::uint8_t* in) {
  return static_cast<std::uint16_t>(in[0] << 8 | in[1]);
}
inline std::uint32_t get_be32(const std::uint8_t* in) {
  return static_cast<std::uint32_t>(get_be16(in)) << 16 | get_be16(in + 2);
}
inline void put_be16(std::uint8_t* out, std::size_t value) {
  out[0] = static_cast<std::uint8_t>(value >> 8);
  out[1] = static_cast<std::uint8_t>(value);
}
inline void put_be32(std::uint8_t* out, std::uint32_t value) {
  put_be16(out, value >> 16);
  put_be16(out + 2, value & 0xffff);
}

}  // namespace icon::tunnel
