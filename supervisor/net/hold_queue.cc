#include "supervisor/net/hold_queue.h"

#include <unistd.h>

#include "base/log.h"
#include "supervisor/tunnel/tun.h"

namespace icon::net {
namespace {

constexpr std::size_t kPacketBytesMax = 65'536;
constexpr std::size_t kPacketsPerTurn = 256;  // then the loop serves others
// One release handles what the device can hold when it begins, not what fast senders add meanwhile:
// the sooner it ends, the sooner packets stop to come this way.
constexpr int kReleaseRoundsMax = kQueueDevicePackets / kPacketsPerTurn + 1;

// What the kernel says to every new link (MLD); no ICON's.
bool is_multicast6(const std::uint8_t* packet, std::size_t bytes) {
  constexpr std::size_t kHeaderBytes = 40;
  constexpr std::size_t kDestinationAt = 24;
  return bytes >= kHeaderBytes && packet[0] >> 4 == 6 && packet[kDestinationAt] == 0xff;
}

}  // namespace

HoldQueue::HoldQueue(IoContext& loop, std::string interface, int fd, HoldLimits limits)
    : device_(loop, fd),
      interface_(std::move(interface)),
      limits_(limits),
      buffer_(kPacketBytesMax) {}

Result<std::shared_ptr<HoldQueue>> HoldQueue::create(IoContext& loop, const std::string& interface,
                                                     HoldLimits limits) {
  ICON_TRY(UniqueFd fd, tunnel::open_tun(interface, /*persistent=*/false));
  std::shared_ptr<HoldQueue> queue(new HoldQueue(loop, interface, fd.release(), limits));
  arm(queue);
  return queue;
}

void HoldQueue::arm(const std::shared_ptr<HoldQueue>& self) {
  // The handler does not keep the queue alive: closing or dropping it ends the wait.
  self->device_.async_wait(
      boost::asio::posix::stream_descriptor::wait_read,
      [weak = std::weak_ptr<HoldQueue>(self)](boost::system::error_code error) {
        const auto queue = weak.lock();
        if (!queue || error) return;
        queue->take(kPacketsPerTurn);
        arm(queue);
      });
}

void HoldQueue::hold() {
  state_ = {};
  state_.holding = true;
  state_.packets = packets_.size();
}

bool HoldQueue::take(std::size_t packets_max) {
  for (std::size_t i = 0; i < packets_max; ++i) {
    const ssize_t count = ::read(device_.native_handle(), buffer_.data(), buffer_.size());
    if (count <= 0) return false;
    const auto bytes = static_cast<std::size_t>(count);
    if (is_multicast6(buffer_.data(), bytes)) continue;
    if (!state_.holding) {
      deliver(buffer_.data(), bytes);
    } else if (state_.packets >= limits_.packets_max || state_.bytes + bytes > limits_.bytes_max) {
      ++state_.dropped_packets;
    } else {
      packets_.emplace_back(buffer_.begin(), buffer_.begin() + count);
      ++state_.packets;
      state_.bytes += bytes;
    }
  }
  return true;
}

void HoldQueue::deliver(const std::uint8_t* packet, std::size_t bytes) {
  if (::write(device_.native_handle(), packet, bytes) == static_cast<ssize_t>(bytes))
    ++state_.released_packets;
  else
    ++state_.dropped_packets;
}

void HoldQueue::release() {
  // First what the device still has, so that the order is that of arrival.
  for (int i = 0; state_.holding && i < kReleaseRoundsMax && take(kPacketsPerTurn); ++i) {
  }
  state_.holding = false;
  for (const auto& packet : packets_) deliver(packet.data(), packet.size());
  discard();
  for (int i = 0; i < kReleaseRoundsMax && take(kPacketsPerTurn); ++i) {
  }
}

void HoldQueue::discard() {
  packets_.clear();
  packets_.shrink_to_fit();
  state_.packets = 0;
  state_.bytes = 0;
}

void HoldQueue::close() {
  boost::system::error_code ignored;
  device_.close(ignored);
}

}  // namespace icon::net
