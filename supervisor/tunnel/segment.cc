#include "supervisor/tunnel/segment.h"

#include <algorithm>
#include <cstring>

namespace icon::tunnel {
namespace {

constexpr std::uint8_t kFin = 0x01;
constexpr std::uint8_t kPush = 0x08;
constexpr std::uint8_t kCwr = 0x80;
constexpr std::size_t kTcpFlagsAt = 13;
constexpr std::size_t kSequenceAt = 4;

}  // namespace

std::optional<Segmenter> Segmenter::of(const OffloadHeader& header,
                                       std::span<const std::uint8_t> packet) {
  if (packet.size() < kIpv4Bytes) return {};
  const int version = packet[0] >> 4;
  if (version != 4 && (version != 6 || packet.size() < kIpv6Bytes)) return {};
  Segmenter result;
  result.packet_ = packet;
  result.header_ = header;
  if (header.type == kOffloadNone) {
    result.count_ = 1;
    result.headers_ = 0;
    result.payload_max_ = packet.size();
    const std::size_t field = std::size_t{header.checksum_start} + header.checksum_offset;
    if ((header.flags & kNeedsChecksum) != 0 &&
        (field + 2 > packet.size() || (header.checksum_start & 1) != 0))
      return {};
    return result;
  }
  const std::uint8_t type = header.type & ~kOffloadEcnBit;
  const bool tcp = (type == kOffloadTcp4 && version == 4) || (type == kOffloadTcp6 && version == 6);
  if (!tcp && type != kOffloadUdp) return {};
  const std::size_t ip_bytes =
      version == 4 ? static_cast<std::size_t>(packet[0] & 15) * 4 : kIpv6Bytes;
  result.transport_ = header.checksum_start;
  // IPv6 may have extension headers in between.
  if (ip_bytes < kIpv4Bytes || (header.flags & kNeedsChecksum) == 0 || header.segment_bytes == 0 ||
      result.transport_ < ip_bytes || (version == 4 && result.transport_ != ip_bytes))
    return {};
  const std::size_t at_least = result.transport_ + (tcp ? kTcpBytes : kUdpBytes);
  if (at_least > packet.size()) return {};
  const std::size_t transport_bytes =
      tcp ? static_cast<std::size_t>(packet[result.transport_ + 12] >> 4) * 4 : kUdpBytes;
  result.headers_ = result.transport_ + transport_bytes;
  if (result.headers_ < at_least || result.headers_ >= packet.size()) return {};
  result.protocol_ = tcp ? kProtocolTcp : kProtocolUdp;
  result.payload_max_ = header.segment_bytes;
  result.count_ = (packet.size() - result.headers_ + result.payload_max_ - 1) / result.payload_max_;
  if (result.count_ == 1) result.payload_max_ = packet.size() - result.headers_;
  return result;
}

std::uint8_t Segmenter::ecn() const {
  return packet_[0] >> 4 == 4 ? packet_[1] & 3 : packet_[1] >> 4 & 3;
}

void Segmenter::write_single(std::uint8_t* out) const {
  std::memcpy(out, packet_.data(), packet_.size());
  if ((header_.flags & kNeedsChecksum) == 0) return;
  // The field holds the sum of the pseudo header.
  std::uint8_t* start = out + header_.checksum_start;
  std::uint16_t checksum = checksum_of(sum_bytes({start, out + packet_.size()}));
  // In UDP zero means none; elsewhere both zeros mean the same.
  if (checksum == 0) checksum = 0xffff;
  std::memcpy(start + header_.checksum_offset, &checksum, sizeof checksum);
}

void Segmenter::write(std::size_t number, std::uint8_t* out) const {
  if (headers_ == 0) return write_single(out);
  const std::size_t payload = bytes(number) - headers_;
  std::memcpy(out, packet_.data(), headers_);
  if (out[0] >> 4 == 4) {
    put_be16(out + 2, headers_ + payload);
    put_be16(out + 4, get_be16(out + 4) + number);
    std::memset(out + 10, 0, 2);
    const std::uint16_t checksum = checksum_of(sum_bytes({out, transport_}));
    std::memcpy(out + 10, &checksum, sizeof checksum);
  } else {
    put_be16(out + 4, headers_ + payload - kIpv6Bytes);
  }
  write_transport(number, payload, out);
}

void Segmenter::write_transport(std::size_t number, std::size_t payload, std::uint8_t* out) const {
  std::uint8_t* transport = out + transport_;
  const std::size_t bytes = headers_ - transport_ + payload;
  std::uint8_t* field = transport + kUdpChecksumAt;
  if (protocol_ == kProtocolTcp) {
    put_be32(transport + kSequenceAt,
             get_be32(transport + kSequenceAt) + static_cast<std::uint32_t>(number * payload_max_));
    // RFC 3168: CWR once; the rest of the flags belong to the end of the data.
    if (number != 0) transport[kTcpFlagsAt] &= static_cast<std::uint8_t>(~kCwr);
    if (number + 1 != count_) transport[kTcpFlagsAt] &= static_cast<std::uint8_t>(~(kFin | kPush));
    field = transport + kTcpChecksumAt;
  } else {
    put_be16(transport + 4, bytes);
  }
  std::memset(field, 0, 2);
  std::uint64_t sum = pseudo_sum(out, protocol_, bytes);
  sum = sum_bytes({transport, out + headers_}, sum);
  sum =
      copy_and_sum(packet_.subspan(headers_ + number * payload_max_, payload), out + headers_, sum);
  std::uint16_t checksum = checksum_of(sum);
  if (checksum == 0) checksum = 0xffff;
  std::memcpy(field, &checksum, sizeof checksum);
}

}  // namespace icon::tunnel
