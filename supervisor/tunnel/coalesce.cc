#include "supervisor/tunnel/coalesce.h"

#include <cstring>

namespace icon::tunnel {
namespace {

constexpr std::uint8_t kPush = 0x08;
constexpr std::uint8_t kAck = 0x10;
constexpr std::uint8_t kEce = 0x40;
constexpr std::size_t kTcpFlagsAt = 13;
constexpr std::uint16_t kDontFragment = 0x4000;
constexpr std::uint16_t kFragmentBits = 0xbfff;  // more fragments, offset, and the reserved bit

bool is_checksum_right(const std::uint8_t* packet, std::size_t ip_bytes, std::size_t bytes,
                       std::uint8_t protocol) {
  const std::size_t length = bytes - ip_bytes;
  return fold_sum(sum_bytes({packet + ip_bytes, length}, pseudo_sum(packet, protocol, length))) ==
         0xffff;
}

// Everything of the IP header that the packets of one burst share.
bool is_same_ip(const std::uint8_t* a, const std::uint8_t* b, std::size_t number) {
  if (a[0] >> 4 == 6)
    // Version, traffic class, flow label; next header and hop limit.
    return std::memcmp(a, b, 4) == 0 && std::memcmp(a + 6, b + 6, 2) == 0;
  const std::uint16_t fragment = get_be16(a + 6);
  // With DF the identification means nothing (RFC 6864); without, cutting the whole again must give
  // the same numbers.
  const bool id_fits = (fragment & kDontFragment) != 0 ||
                       get_be16(b + 4) == static_cast<std::uint16_t>(get_be16(a + 4) + number);
  return a[1] == b[1] && a[8] == b[8] && fragment == get_be16(b + 6) && id_fits;
}

}  // namespace

Coalescer::Coalescer(PacketWriter& writer, CoalesceOptions options)
    : writer_(writer), options_(options), flows_(kFlowsMax) {}

Coalescer::View Coalescer::look_at(std::span<std::uint8_t> packet) const {
  View view;
  view.packet = packet.data();
  view.bytes = packet.size();
  if (packet.size() < kIpv4Bytes) return view;
  if (packet[0] == 0x45) {  // without options
    view.ip_bytes = kIpv4Bytes;
    view.protocol = packet[9];
    if ((get_be16(packet.data() + 6) & kFragmentBits) != 0 ||
        fold_sum(sum_bytes(packet.first(kIpv4Bytes))) != 0xffff)
      return view;
  } else if (packet[0] >> 4 == 6 && packet.size() >= kIpv6Bytes) {
    view.ip_bytes = kIpv6Bytes;
    view.protocol = packet[6];
  } else {
    return view;
  }
  const std::uint8_t* transport = view.transport();
  const std::size_t left = packet.size() - view.ip_bytes;
  if (view.protocol == kProtocolTcp && left >= kTcpBytes) {
    const std::size_t tcp_bytes = static_cast<std::size_t>(transport[12] >> 4) * 4;
    if (tcp_bytes < kTcpBytes || tcp_bytes > left) return view;
    view.headers = view.ip_bytes + tcp_bytes;
    const std::uint8_t flags = transport[kTcpFlagsAt];
    view.can_merge = options_.tcp && view.payload() > 0 && (flags & kAck) != 0 &&
                     (flags & ~(kAck | kPush | kEce)) == 0 && (transport[12] & 0xf) == 0;
    view.ends_flow = (flags & kPush) != 0;
  } else if (view.protocol == kProtocolUdp && left >= kUdpBytes) {
    view.headers = view.ip_bytes + kUdpBytes;
    view.can_merge = options_.udp && view.payload() > 0 && get_be16(transport + 4) == left &&
                     get_be16(transport + kUdpChecksumAt) != 0;
  }
  // The kernel will not look at the sum of what we put together.
  view.can_merge =
      view.can_merge && is_checksum_right(view.packet, view.ip_bytes, view.bytes, view.protocol);
  return view;
}

bool Coalescer::is_same_flow(const View& a, const View& b) {
  if (a.protocol != b.protocol || a.ip_bytes != b.ip_bytes) return false;
  const std::size_t at = a.ip_bytes == kIpv4Bytes ? 12 : 8;
  // Both addresses and, right behind them or not, both ports.
  return std::memcmp(a.packet + at, b.packet + at, a.ip_bytes - at) == 0 &&
         std::memcmp(a.transport(), b.transport(), 4) == 0;
}

bool Coalescer::continues(const Flow& flow, const View& next) {
  const View& first = flow.first;
  if (!next.can_merge || next.headers != first.headers || next.payload() > flow.segment ||
      flow.count >= kPacketsMax || flow.payload + next.bytes > kBytesMax - first.headers ||
      !is_same_ip(first.packet, next.packet, flow.count))
    return false;
  if (next.protocol == kProtocolUdp) return true;
  const std::uint8_t* a = first.transport();
  const std::uint8_t* b = next.transport();
  const std::size_t options = next.headers - next.ip_bytes - kTcpBytes;
  // Sequence; acknowledgement; flags; window and urgent pointer; options (the time stamps).
  return get_be32(b + 4) == get_be32(a + 4) + static_cast<std::uint32_t>(flow.payload) &&
         std::memcmp(a + 8, b + 8, 4) == 0 && ((a[13] ^ b[13]) & ~kPush) == 0 &&
         std::memcmp(a + 14, b + 14, 2) == 0 &&
         std::memcmp(a + kTcpBytes, b + kTcpBytes, options) == 0;
}

Coalescer::Flow& Coalescer::free_flow() {
  for (std::size_t i = 0; i < flows_.size(); ++i)
    if (flows_[i].count == 0) return last_ = i, flows_[i];
  last_ = (last_ + 1) % flows_.size();
  write_flow(flows_[last_]);
  return flows_[last_];
}

void Coalescer::add(std::span<std::uint8_t> packet) {
  const View view = look_at(packet);
  if (view.headers == 0) return write_single(view);
  Flow* flow = nullptr;
  for (std::size_t i = 0; i < flows_.size() && flow == nullptr; ++i) {
    const std::size_t at = (last_ + i) % flows_.size();
    if (flows_[at].count == 0 || !is_same_flow(flows_[at].first, view)) continue;
    flow = &flows_[at];
    last_ = at;
  }
  if (flow != nullptr && continues(*flow, view)) {
    flow->parts[flow->count + 1] = {view.packet + view.headers, view.payload()};
    ++flow->count;
    flow->payload += view.payload();
    flow->pushes = flow->pushes || view.ends_flow;
    if (view.ends_flow || view.payload() < flow->segment) write_flow(*flow);
    return;
  }
  if (flow != nullptr) write_flow(*flow);
  if (!view.can_merge || view.ends_flow) return write_single(view);
  if (flow == nullptr) flow = &free_flow();
  flow->first = view;
  flow->count = 1;
  flow->payload = flow->segment = view.payload();
  flow->pushes = false;
  flow->parts[1] = {view.packet, view.bytes};
}

void Coalescer::flush() {
  for (Flow& flow : flows_) write_flow(flow);
}

void Coalescer::write_single(const View& view) {
  OffloadHeader header;
  const iovec parts[] = {{&header, sizeof header}, {view.packet, view.bytes}};
  writer_.write_packet(parts);
}

void Coalescer::write_flow(Flow& flow) {
  if (flow.count == 0) return;
  const View& first = flow.first;
  const std::size_t count = flow.count;
  flow.count = 0;
  if (count == 1) return write_single(first);
  const bool v4 = first.ip_bytes == kIpv4Bytes;
  const bool tcp = first.protocol == kProtocolTcp;
  const std::size_t transport_bytes = first.headers - first.ip_bytes + flow.payload;
  std::uint8_t* ip = first.packet;
  if (v4) {
    put_be16(ip + 2, first.ip_bytes + transport_bytes);
    std::memset(ip + 10, 0, 2);
    const std::uint16_t checksum = checksum_of(sum_bytes({ip, first.ip_bytes}));
    std::memcpy(ip + 10, &checksum, sizeof checksum);
  } else {
    put_be16(ip + 4, transport_bytes);
  }
  std::uint8_t* transport = first.transport();
  if (tcp && flow.pushes) transport[kTcpFlagsAt] |= kPush;
  if (!tcp) put_be16(transport + 4, transport_bytes);
  const std::size_t field = tcp ? kTcpChecksumAt : kUdpChecksumAt;
  const std::uint16_t pseudo = fold_sum(pseudo_sum(ip, first.protocol, transport_bytes));
  std::memcpy(transport + field, &pseudo, sizeof pseudo);
  OffloadHeader header;
  header.flags = kNeedsChecksum;
  header.type = !tcp ? kOffloadUdp : v4 ? kOffloadTcp4 : kOffloadTcp6;
  header.header_bytes = static_cast<std::uint16_t>(first.headers);
  header.segment_bytes = static_cast<std::uint16_t>(flow.segment);
  header.checksum_start = static_cast<std::uint16_t>(first.ip_bytes);
  header.checksum_offset = static_cast<std::uint16_t>(field);
  flow.parts[0] = {&header, sizeof header};
  writer_.write_packet(std::span<const iovec>(flow.parts).first(count + 1));
}

}  // namespace icon::tunnel
