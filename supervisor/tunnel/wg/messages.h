// What travels between two tunnels, byte by byte: WireGuard's four messages (whitepaper, section
// 5.4). Integers are little-endian. Pure; any thread.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace icon::tunnel::wg {

static_assert(std::endian::native == std::endian::little, "the wire order is the native one");

using Bytes = std::span<const std::uint8_t>;
using MutableBytes = std::span<std::uint8_t>;
using Key = std::array<std::uint8_t, 32>;

inline constexpr std::size_t kTagBytes = 16;
inline constexpr std::size_t kMacBytes = 16;
inline constexpr std::size_t kTimestampBytes = 12;

// The type byte and the three zero bytes after it, as one number.
enum class MessageType : std::uint32_t {
  kInitiation = 1,
  kResponse = 2,
  kCookieReply = 3,
  kTransport = 4,
};

// Places of the fields.
struct InitiationLayout {
  static constexpr std::size_t kSender = 4;
  static constexpr std::size_t kEphemeral = 8;
  static constexpr std::size_t kStatic = 40;
  static constexpr std::size_t kTimestamp = 88;
  static constexpr std::size_t kMac1 = 116;
  static constexpr std::size_t kMac2 = 132;
  static constexpr std::size_t kBytes = 148;
};
struct ResponseLayout {
  static constexpr std::size_t kSender = 4;
  static constexpr std::size_t kReceiver = 8;
  static constexpr std::size_t kEphemeral = 12;
  static constexpr std::size_t kNothing = 44;
  static constexpr std::size_t kMac1 = 60;
  static constexpr std::size_t kMac2 = 76;
  static constexpr std::size_t kBytes = 92;
};
struct CookieReplyLayout {
  static constexpr std::size_t kReceiver = 4;
  static constexpr std::size_t kNonce = 8;
  static constexpr std::size_t kCookie = 32;
  static constexpr std::size_t kBytes = 64;
};
struct TransportLayout {
  static constexpr std::size_t kReceiver = 4;
  static constexpr std::size_t kCounter = 8;
  static constexpr std::size_t kText = 16;
};

inline constexpr std::size_t kTransportHeaderBytes = TransportLayout::kText;
inline constexpr std::size_t kTransportOverhead = kTransportHeaderBytes + kTagBytes;
// Lengths of inner packets are rounded up to this: they tell less about the packet.
inline constexpr std::size_t kPaddingMultiple = 16;
// Room that sealing in place needs behind a packet.
inline constexpr std::size_t kSealRoomAfter = kPaddingMultiple - 1 + kTagBytes;

using InitiationMessage = std::array<std::uint8_t, InitiationLayout::kBytes>;
using ResponseMessage = std::array<std::uint8_t, ResponseLayout::kBytes>;
using CookieReplyMessage = std::array<std::uint8_t, CookieReplyLayout::kBytes>;

// `packet_bytes` rounded up, but never beyond the interface's MTU (0: no limit).
constexpr std::size_t padded_bytes(std::size_t packet_bytes, std::size_t mtu) {
  const std::size_t padded =
      (packet_bytes + kPaddingMultiple - 1) / kPaddingMultiple * kPaddingMultiple;
  if (mtu == 0 || padded <= mtu) return padded;
  return packet_bytes > mtu ? packet_bytes : mtu;
}
// Length of the datagram that carries a packet.
constexpr std::size_t sealed_bytes(std::size_t packet_bytes, std::size_t mtu) {
  return padded_bytes(packet_bytes, mtu) + kTransportOverhead;
}

inline void put_u32(std::uint8_t* out, std::uint32_t value) {
  std::memcpy(out, &value, sizeof value);
}
inline void put_u64(std::uint8_t* out, std::uint64_t value) {
  std::memcpy(out, &value, sizeof value);
}
inline std::uint32_t get_u32(const std::uint8_t* in) {
  std::uint32_t value = 0;
  std::memcpy(&value, in, sizeof value);
  return value;
}
inline std::uint64_t get_u64(const std::uint8_t* in) {
  std::uint64_t value = 0;
  std::memcpy(&value, in, sizeof value);
  return value;
}

}  // namespace icon::tunnel::wg
