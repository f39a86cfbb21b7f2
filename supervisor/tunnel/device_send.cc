#include "supervisor/tunnel/device_send.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "supervisor/tunnel/tun.h"

namespace icon::tunnel {
namespace {

constexpr Millis kMtuInterval{200};

Address destination_of(const std::uint8_t* packet) {
  if (packet[0] >> 4 == 4) {
    std::array<std::uint8_t, 4> bytes{};
    std::copy_n(packet + 16, bytes.size(), bytes.begin());
    return Address::v4(bytes);
  }
  std::array<std::uint8_t, 16> bytes{};
  std::copy_n(packet + 24, bytes.size(), bytes.begin());
  return Address::v6(bytes);
}

}  // namespace

wg::Now now_of(const Clock& clock) { return {clock.steady(), clock.utc_ms()}; }

void send_outbox(wg::Outbox& out, UdpSocket& socket) {
  for (const auto& datagram : out.datagrams)
    socket.send({datagram.bytes.data(), datagram.bytes.size(), datagram.bytes.size(),
                 datagram.endpoint, 0});
  out.clear();
}

SendPath::SendPath(DataPlane& plane)
    : plane_(plane), packet_(kPacketBytesMax), sealed_(2 * kUdpPayloadMax) {}

void SendPath::run(int stop_fd) {
  pollfd waits[] = {{plane_.tun.get(), POLLIN, 0}, {stop_fd, POLLIN, 0}};
  for (;;) {
    socket_ = plane_.socket.get();
    Read read = Read::kPacket;
    while (read == Read::kPacket) read = read_packet();
    flush();
    if (read == Read::kGone) return;
    socket_.reset();  // it may be replaced meanwhile, and its port free again
    if (poll(waits, 2, -1) < 0 && errno != EINTR) return;
    if (waits[1].revents != 0) return;
  }
}

void SendPath::refresh_mtu(SteadyTime now) {
  if (mtu_ != 0 && now - mtu_read_ < kMtuInterval) return;
  mtu_read_ = now;
  // Any address family's socket will do for asking.
  mtu_ = mtu_of(socket_->fd(), plane_.interface);
  plane_.engine.set_mtu(mtu_);
}

SendPath::Read SendPath::read_packet() {
  const ssize_t count = read(plane_.tun.get(), packet_.data(), packet_.size());
  if (count < 0) return errno == EAGAIN || errno == EINTR ? Read::kEmpty : Read::kGone;
  const wg::Now now = now_of(plane_.clock);
  refresh_mtu(now.steady);
  const auto bytes = static_cast<std::size_t>(count);
  OffloadHeader header;
  std::optional<Segmenter> packet;
  if (bytes > sizeof header) {
    std::memcpy(&header, packet_.data(), sizeof header);
    packet = Segmenter::of(header, packet_.first(bytes).subspan(sizeof header));
  }
  if (packet)
    seal_packet(*packet, now);
  else
    plane_.odd_packets.fetch_add(1, std::memory_order_relaxed);
  return Read::kPacket;
}

std::size_t SendPath::portion(const Segmenter& packet, std::size_t first,
                              std::size_t& bytes) const {
  std::size_t count = 0;
  bytes = 0;
  while (first + count < packet.count() && count < segments_.size()) {
    const std::size_t next = wg::sealed_bytes(packet.bytes(first + count), mtu_);
    if (bytes + next > kUdpPayloadMax) break;
    bytes += next;
    ++count;
  }
  return count;
}

void SendPath::seal_packet(const Segmenter& packet, wg::Now now) {
  const Address destination = destination_of(packet_.data() + kOffloadHeaderBytes);
  for (std::size_t first = 0; first < packet.count();) {
    std::size_t bytes = 0;
    const std::size_t count = portion(packet, first, bytes);
    if (count == 0) return (void)plane_.odd_packets.fetch_add(1, std::memory_order_relaxed);
    auto* begin = sealed_.data();
    if (pending_.bytes != 0) begin = const_cast<std::uint8_t*>(pending_.data) + pending_.bytes;
    if (begin + bytes > sealed_.data() + sealed_.size()) {
      flush();
      begin = sealed_.data();
    }
    auto* at = begin;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t length = packet.bytes(first + i);
      packet.write(first + i, at + wg::kTransportHeaderBytes);
      segments_[i] = {at, length};
      at += wg::sealed_bytes(length, mtu_);
    }
    const auto segments = std::span(segments_).first(count);
    const auto result = plane_.engine.seal(destination, segments, now, outbox_);
    if (outbox_.wake) (void)eventfd_write(plane_.wake_fd, 1);
    send_outbox(outbox_, *socket_);
    if (result.status == wg::SealStatus::kSealed)
      join({begin, bytes, segments_[0].bytes, result.endpoint, packet.ecn()}, count);
    first += count;
  }
}

void SendPath::join(const UdpBatch& sealed, std::size_t count) {
  const std::size_t last = segments_[count - 1].bytes;
  const bool fits =
      pending_.bytes != 0 && !pending_closed_ && pending_.to == sealed.to &&
      pending_.ecn == sealed.ecn &&
      (sealed.segment == pending_.segment || (count == 1 && sealed.segment < pending_.segment)) &&
      pending_.bytes + sealed.bytes <= kUdpPayloadMax && pending_count_ + count <= kUdpSegmentsMax;
  if (fits) {
    pending_.bytes += sealed.bytes;
    pending_count_ += count;
  } else {
    flush();
    pending_ = sealed;
    pending_count_ = count;
  }
  pending_closed_ = last < pending_.segment;
  if (pending_closed_ || pending_.bytes + pending_.segment > kUdpPayloadMax ||
      pending_count_ == kUdpSegmentsMax)
    flush();
}

void SendPath::flush() {
  if (pending_.bytes != 0) socket_->send(pending_);
  pending_ = {};
  pending_count_ = 0;
  pending_closed_ = false;
}

}  // namespace icon::tunnel
