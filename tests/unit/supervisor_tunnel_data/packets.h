// Inner packets for tests, built and taken apart byte by byte, with the plainest checksum there is.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <numeric>
#include <vector>

#include "supervisor/tunnel/offload.h"

namespace icon::tunnel::test {

using Packet = std::vector<std::uint8_t>;

// RFC 1071, one word at a time.
inline std::uint16_t plain_sum(std::span<const std::uint8_t> bytes, std::uint32_t sum = 0) {
  for (std::size_t i = 0; i < bytes.size(); i += 2)
    sum += static_cast<std::uint32_t>(bytes[i] << 8) + (i + 1 < bytes.size() ? bytes[i + 1] : 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

struct Shape {
  bool v4 = true;
  bool tcp = true;
  std::uint16_t source_port = 1000;
  std::uint32_t sequence = 1;
  std::uint32_t acknowledged = 7;
  std::uint8_t flags = 0x10;
  std::uint16_t window = 500;
  std::uint32_t stamp = 99;
  std::uint16_t id = 40;
  bool dont_fragment = true;
  std::uint8_t traffic_class = 0;
  std::uint8_t ttl = 64;
};

inline std::size_t ip_bytes(const Packet& packet) { return packet[0] >> 4 == 4 ? 20 : 40; }

inline std::uint16_t transport_sum(const Packet& packet) {
  const std::size_t ip = ip_bytes(packet);
  const bool v4 = ip == 20;
  const std::uint8_t protocol = v4 ? packet[9] : packet[6];
  const std::size_t addresses = v4 ? 12 : 8;
  std::uint32_t sum = protocol + static_cast<std::uint32_t>(packet.size() - ip);
  sum += plain_sum(std::span(packet).subspan(addresses, ip - addresses));
  return plain_sum(std::span(packet).subspan(ip), sum);
}

inline void set_checksums(Packet& packet) {
  const std::size_t ip = ip_bytes(packet);
  const bool tcp = (ip == 20 ? packet[9] : packet[6]) == 6;
  const std::size_t field = ip + (tcp ? 16u : 6u);
  put_be16(packet.data() + field, 0);
  put_be16(packet.data() + field, static_cast<std::uint16_t>(~transport_sum(packet)));
  if (ip != 20) return;
  put_be16(packet.data() + 10, 0);
  put_be16(packet.data() + 10, static_cast<std::uint16_t>(~plain_sum(std::span(packet).first(20))));
}

inline Packet make_packet(const Shape& shape, const Packet& payload) {
  Packet packet(shape.v4 ? 20 : 40);
  const std::size_t transport = shape.tcp ? 32 : 8;
  if (shape.v4) {
    packet[0] = 0x45;
    packet[1] = shape.traffic_class;
    put_be16(packet.data() + 2, 20 + transport + payload.size());
    put_be16(packet.data() + 4, shape.id);
    put_be16(packet.data() + 6, shape.dont_fragment ? 0x4000 : 0);
    packet[8] = shape.ttl;
    packet[9] = shape.tcp ? 6 : 17;
    put_be32(packet.data() + 12, 0x0a0a0001);
    put_be32(packet.data() + 16, 0x0a0a0002);
  } else {
    packet[0] = static_cast<std::uint8_t>(0x60 | shape.traffic_class >> 4);
    packet[1] = static_cast<std::uint8_t>(shape.traffic_class << 4);
    put_be16(packet.data() + 4, transport + payload.size());
    packet[6] = shape.tcp ? 6 : 17;
    packet[7] = shape.ttl;
    packet[8] = packet[24] = 0xfd;
    packet[23] = 1;
    packet[39] = 2;
  }
  std::vector<std::uint8_t> header(transport);
  put_be16(header.data(), shape.source_port);
  put_be16(header.data() + 2, 80);
  if (shape.tcp) {
    put_be32(header.data() + 4, shape.sequence);
    put_be32(header.data() + 8, shape.acknowledged);
    header[12] = 8 << 4;
    header[13] = shape.flags;
    put_be16(header.data() + 14, shape.window);
    header[20] = header[21] = 1;
    header[22] = 8;
    header[23] = 10;
    put_be32(header.data() + 24, shape.stamp);
  } else {
    put_be16(header.data() + 4, transport + payload.size());
  }
  packet.insert(packet.end(), header.begin(), header.end());
  packet.insert(packet.end(), payload.begin(), payload.end());
  set_checksums(packet);
  return packet;
}

inline Packet payload_of(std::size_t bytes, std::uint8_t first = 0) {
  Packet payload(bytes);
  std::iota(payload.begin(), payload.end(), first);
  return payload;
}

inline void expect_right_checksums(const Packet& packet) {
  EXPECT_EQ(transport_sum(packet), 0xffff);
  if (packet[0] >> 4 == 4) {
    EXPECT_EQ(plain_sum(std::span(packet).first(20)), 0xffff);
  }
}

}  // namespace icon::tunnel::test
