// Interface to network: reads bursts from the TUN device, cuts them up, seals
// them in place, and sends each burst in one call.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "supervisor/tunnel/buffer.h"
#include "supervisor/tunnel/segment.h"
#include "supervisor/tunnel/udp.h"
#include "supervisor/tunnel/wg/engine.h"

namespace icon::tunnel {

// The socket of the moment: the sending thread takes it while a configuration
// call may change it.
class SocketSlot {
 public:
  std::shared_ptr<UdpSocket> get() const {
    const std::lock_guard lock(mutex_);
    return socket_;
  }
  void set(std::shared_ptr<UdpSocket> socket) {
    const std::lock_guard lock(mutex_);
    socket_ = std::move(socket);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<UdpSocket> socket_;
};

wg::Now now_of(const Clock& clock);
// What the engine wants sent besides; empties `out`.
void send_outbox(wg::Outbox& out, UdpSocket& socket);

// What both threads work on; outlives them.
struct DataPlane {
  std::string interface;
  const UniqueFd& tun;
  wg::Engine& engine;
  SocketSlot& socket;
  const Clock& clock;
  // An eventfd that the receiving thread waits for: ask for deadline() again.
  int wake_fd;
  // Packets that the kernel gave us broken, or would not take.
  std::atomic<std::uint64_t> odd_packets{0};
  std::atomic<std::uint64_t> refused_writes{0};
};

// Owner: Device. run() is the sending thread.
class SendPath {
 public:
  explicit SendPath(DataPlane& plane);
  // Until the interface is gone or `stop_fd`, an eventfd, is readable.
  void run(int stop_fd);

 private:
  enum class Read { kPacket, kEmpty, kGone };
  static constexpr std::size_t kPacketBytesMax = 65'535 + kOffloadHeaderBytes;

  Read read_packet();
  void refresh_mtu(SteadyTime now);
  void seal_packet(const Segmenter& packet, wg::Now now);
  // As many segments from `first` on as one batch carries; 0: not even one.
  std::size_t portion(const Segmenter& packet, std::size_t first, std::size_t& bytes) const;
  void join(const UdpBatch& sealed, std::size_t count);
  void flush();

  DataPlane& plane_;
  std::shared_ptr<UdpSocket> socket_;
  wg::Outbox outbox_;
  std::size_t mtu_ = 0;
  SteadyTime mtu_read_;
  Buffer packet_;
  Buffer sealed_;
  std::array<wg::Segment, kUdpSegmentsMax> segments_{};
  UdpBatch pending_;  // in sealed_, not sent yet
  std::size_t pending_count_ = 0;
  bool pending_closed_ = false;  // ends with a shorter datagram
};

}  // namespace icon::tunnel
