#include "supervisor/tunnel/device_receive.h"

#include <algorithm>
#include <cstring>

namespace icon::tunnel {

bool carry_ecn(std::uint8_t outer, std::span<std::uint8_t> packet) {
  if (outer != kEcnCongested) return true;
  const bool v4 = packet[0] >> 4 == 4;
  const int inner = v4 ? packet[1] & kEcnMask : packet[1] >> 4 & kEcnMask;
  if (inner == 0) return false;
  if (!v4) {
    packet[1] |= kEcnCongested << 4;
    return true;
  }
  packet[1] |= kEcnCongested;
  const std::size_t header = static_cast<std::size_t>(packet[0] & 15) * 4;
  if (header < kIpv4Bytes || header > packet.size()) return false;
  std::memset(packet.data() + 10, 0, 2);
  const std::uint16_t checksum = checksum_of(sum_bytes(packet.first(header)));
  std::memcpy(packet.data() + 10, &checksum, sizeof checksum);
  return true;
}

ReceivePath::ReceivePath(DataPlane& plane, TunOffload offload)
    : plane_(plane), coalescer_(*this, {offload.tcp, offload.udp}) {}

bool ReceivePath::step() {
  const auto socket = plane_.socket.get();
  const auto trains = receiver_.receive(*socket);
  if (trains.empty()) return false;
  const wg::Now now = now_of(plane_.clock);
  for (const auto& train : trains) open_train(train, now);
  coalescer_.flush();
  send_outbox(outbox_, *socket);
  return trains.size() == UdpReceiver::kMessages;
}

void ReceivePath::open_train(const UdpReceiver::Train& train, wg::Now now) {
  std::size_t at = 0;
  do {
    std::size_t count = 0;
    do {
      const std::size_t bytes = std::min(train.segment, train.bytes.size() - at);
      received_[count++] = {train.bytes.data() + at, bytes, {}, wg::kNoPeer};
      at += bytes;
    } while (at < train.bytes.size() && count < received_.size());
    const auto received = std::span(received_).first(count);
    plane_.engine.receive(received, train.from, now, outbox_);
    for (const auto& datagram : received)
      if (!datagram.packet.empty() && carry_ecn(train.ecn, datagram.packet))
        coalescer_.add(datagram.packet);
  } while (at < train.bytes.size());
}

void ReceivePath::write_packet(std::span<const iovec> parts) {
  // The interface may be down: loss is what a network does.
  if (writev(plane_.tun.get(), parts.data(), static_cast<int>(parts.size())) < 0)
    plane_.refused_writes.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace icon::tunnel
