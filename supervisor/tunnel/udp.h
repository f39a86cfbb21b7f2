// The tunnel's socket: batches of datagrams out by UDP_SEGMENT, in by UDP_GRO, one call each, and
// what remains where a kernel or a card cannot do that. IPv6 with IPv4 mapped into it where the
// host has IPv6, otherwise IPv4.
#pragma once

#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "base/address.h"
#include "base/fd.h"
#include "base/result.h"
#include "supervisor/tunnel/buffer.h"

namespace icon::tunnel {

inline constexpr std::size_t kUdpPayloadMax = 65'507;
// UDP_MAX_SEGMENTS before Linux 6.9.
inline constexpr std::size_t kUdpSegmentsMax = 64;
inline constexpr std::uint8_t kEcnMask = 3;
inline constexpr std::uint8_t kEcnCongested = 3;

// Datagrams that lie one behind the other, all `segment` bytes long but for a shorter last one.
struct UdpBatch {
  const std::uint8_t* data = nullptr;
  std::size_t bytes = 0;
  std::size_t segment = 0;
  Endpoint to;
  std::uint8_t ecn = 0;
};

class UdpSocket {
 public:
  // Made while we may: large buffers and the mark need CAP_NET_ADMIN. Not bound yet.
  static Result<std::unique_ptr<UdpSocket>> create(std::uint32_t mark);
  // 0: any. May be called again after an error. Errors: kIo.
  Status bind(std::uint16_t port);
  std::uint16_t port() const { return port_; }
  int fd() const { return fd_.get(); }
  bool is_v6() const { return v6_; }

  // Waits for room in the socket's buffer for a moment; what cannot be sent is lost, as on a wire.
  // Any thread.
  void send(const UdpBatch& batch);

 private:
  UdpSocket() = default;
  bool send_segmented(const UdpBatch& part, msghdr& message);
  void send_each(const UdpBatch& batch, const msghdr& message);
  bool wait_for_room() const;

  UniqueFd fd_;
  bool v6_ = false;
  std::uint16_t port_ = 0;
  std::atomic<bool> can_segment_{true};
};

// One read of the socket: up to kMessages times one datagram, or one train of datagrams that the
// kernel has put together. Owner: the receiving thread.
class UdpReceiver {
 public:
  static constexpr std::size_t kMessages = 8;
  struct Train {
    std::span<std::uint8_t> bytes;
    std::size_t segment = 0;  // the length of each datagram but the last
    Endpoint from;
    std::uint8_t ecn = 0;
  };

  UdpReceiver();
  // What is there, without waiting: empty when nothing is. Good until the next call. Errors of
  // earlier datagrams (ICMP) are skipped.
  std::span<const Train> receive(const UdpSocket& socket);

 private:
  static constexpr std::size_t kBufferBytes = 65'536;
  // UDP_GRO, IP_TOS and IPV6_TCLASS.
  static constexpr std::size_t kControlBytes = 3 * CMSG_SPACE(sizeof(int));

  std::optional<Train> train_of(const mmsghdr& message) const;

  Buffer buffer_;
  std::array<mmsghdr, kMessages> messages_{};
  std::array<iovec, kMessages> parts_{};
  std::array<sockaddr_storage, kMessages> sources_{};
  struct alignas(cmsghdr) Control {
    std::array<std::uint8_t, kControlBytes> bytes;
  };
  std::array<Control, kMessages> controls_{};
  std::array<Train, kMessages> trains_{};
};

}  // namespace icon::tunnel
