#include "supervisor/tunnel/coalesce.h"

#include <gtest/gtest.h>

#include <cstring>

#include "packets.h"
#include "supervisor/tunnel/segment.h"

namespace icon::tunnel {
namespace {

using test::make_packet;
using test::Packet;
using test::payload_of;
using test::Shape;

struct Written {
  OffloadHeader header;
  Packet packet;
  std::size_t segments() const {
    return header.type == kOffloadNone ? 1 : Segmenter::of(header, packet)->count();
  }
};

class CoalesceTest : public ::testing::Test, public PacketWriter {
 protected:
  void write_packet(std::span<const iovec> parts) override {
    Written& written = written_.emplace_back();
    ASSERT_EQ(parts[0].iov_len, sizeof(OffloadHeader));
    std::memcpy(&written.header, parts[0].iov_base, sizeof(OffloadHeader));
    for (const auto& part : parts.subspan(1)) {
      const auto* bytes = static_cast<const std::uint8_t*>(part.iov_base);
      written.packet.insert(written.packet.end(), bytes, bytes + part.iov_len);
    }
  }
  // What the kernel sees, by a new pass through the coalescer.
  std::vector<Written> pass(std::vector<Packet> packets, CoalesceOptions options = {}) {
    written_.clear();
    Coalescer coalescer(*this, options);
    for (auto& packet : packets) coalescer.add(packet);
    coalescer.flush();
    return written_;
  }
  // Cutting what was put together gives the packets again, byte by byte.
  static std::vector<Packet> cut(const std::vector<Written>& all) {
    std::vector<Packet> packets;
    for (const auto& written : all) {
      const auto segmenter = Segmenter::of(written.header, written.packet);
      if (!segmenter) {
        ADD_FAILURE() << "the kernel would refuse it";
        continue;
      }
      for (std::size_t i = 0; i < segmenter->count(); ++i)
        segmenter->write(i, packets.emplace_back(segmenter->bytes(i)).data());
    }
    return packets;
  }
  static std::vector<Packet> burst(Shape shape, std::size_t count, std::size_t last,
                                   std::size_t bytes = 1000) {
    std::vector<Packet> packets;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t length = i + 1 == count ? last : bytes;
      packets.push_back(make_packet(shape, payload_of(length, static_cast<std::uint8_t>(i))));
      shape.sequence += static_cast<std::uint32_t>(length);
      ++shape.id;
    }
    return packets;
  }

  std::vector<Written> written_;
};

TEST_F(CoalesceTest, ABurstIsOneWriteAndTheSameAgainWhenCut) {
  for (const bool v4 : {true, false}) {
    for (const bool tcp : {true, false}) {
      Shape shape;
      shape.v4 = v4;
      shape.tcp = tcp;
      shape.sequence = 0xffff'f000;
      const auto packets = burst(shape, 9, 400);
      const auto written = pass(packets);
      ASSERT_EQ(written.size(), 1u) << v4 << tcp;
      EXPECT_EQ(written[0].segments(), 9u);
      EXPECT_EQ(written[0].header.segment_bytes, 1000);
      EXPECT_EQ(written[0].header.header_bytes, (v4 ? 20 : 40) + (tcp ? 32 : 8));
      EXPECT_EQ(cut(written), packets);
    }
  }
}

TEST_F(CoalesceTest, SwitchedOffItPassesThrough) {
  Shape udp;
  udp.tcp = false;
  EXPECT_EQ(pass(burst({}, 3, 1000), {false, true}).size(), 3u);
  EXPECT_EQ(pass(burst(udp, 3, 1000), {true, false}).size(), 3u);
}

TEST_F(CoalesceTest, AShortOneAndAPushEndTheFlow) {
  auto packets = burst({}, 3, 500);
  Shape next;
  next.sequence = 2501;
  next.id = 43;
  packets.push_back(make_packet(next, payload_of(500)));
  auto written = pass(packets);
  ASSERT_EQ(written.size(), 2u);
  EXPECT_EQ(written[0].segments(), 3u);
  EXPECT_EQ(cut(written), packets);

  packets = burst({}, 4, 1000);
  packets[1][33] |= 0x08;
  test::set_checksums(packets[1]);
  written = pass(packets);
  ASSERT_EQ(written.size(), 2u);
  EXPECT_EQ(written[0].segments(), 2u);
  EXPECT_EQ(written[0].packet[33], 0x18);
  EXPECT_EQ(cut(written), packets);
}

TEST_F(CoalesceTest, WhatDiffersIsNotMerged) {
  const Shape first;
  const auto follows = [&](auto change, std::size_t bytes = 1000) {
    Shape second = first;
    second.sequence += 1000;
    ++second.id;
    change(second);
    const std::vector<Packet> packets{make_packet(first, payload_of(1000)),
                                      make_packet(second, payload_of(bytes))};
    const auto written = pass(packets);
    EXPECT_EQ(cut(written), packets);
    return written.size() == 1;
  };
  EXPECT_TRUE(follows([](Shape&) {}));
  EXPECT_FALSE(follows([](Shape& s) { s.sequence += 1; }));
  EXPECT_FALSE(follows([](Shape& s) { s.sequence -= 1000; })) << "a repetition";
  EXPECT_FALSE(follows([](Shape& s) { s.acknowledged += 1; }));
  EXPECT_FALSE(follows([](Shape& s) { s.window += 1; }));
  EXPECT_FALSE(follows([](Shape& s) { s.stamp += 1; }));
  EXPECT_FALSE(follows([](Shape& s) { s.ttl -= 1; }));
  EXPECT_FALSE(follows([](Shape& s) { s.traffic_class = 1; }));
  EXPECT_FALSE(follows([](Shape& s) { s.dont_fragment = false; }));
  EXPECT_FALSE(follows([](Shape& s) { s.source_port = 2; }));
  for (const int flags : {0x01, 0x02, 0x04, 0x20, 0x40, 0x80})
    EXPECT_FALSE(follows([&](Shape& s) { s.flags |= static_cast<std::uint8_t>(flags); })) << flags;
  EXPECT_FALSE(follows([](Shape&) {}, 1001)) << "longer than the first";
  EXPECT_FALSE(follows([](Shape&) {}, 0)) << "a bare acknowledgement";
}

TEST_F(CoalesceTest, WithoutDfTheIdentificationMustContinue) {
  Shape shape;
  shape.dont_fragment = false;
  EXPECT_EQ(pass(burst(shape, 3, 1000)).size(), 1u);
  auto packets = burst(shape, 3, 1000);
  put_be16(packets[1].data() + 4, 4242);
  test::set_checksums(packets[1]);
  EXPECT_EQ(cut(pass(packets)), packets);
  EXPECT_EQ(pass(packets).size(), 3u);
}

TEST_F(CoalesceTest, AWrongChecksumStaysWrong) {
  auto packets = burst({}, 3, 1000);
  packets[1][700] ^= 1;
  const auto written = pass(packets);
  ASSERT_EQ(written.size(), 3u);
  EXPECT_EQ(cut(written), packets) << "for the receiver to see";
}

TEST_F(CoalesceTest, FlowsInterleaveAndEachKeepsItsOrder) {
  std::vector<Packet> mixed;
  std::vector<std::vector<Packet>> flows;
  for (std::uint16_t i = 0; i < 12; ++i) {  // more than are kept open
    Shape shape;
    shape.source_port = static_cast<std::uint16_t>(100 + i);
    flows.push_back(burst(shape, 6, 1000));
  }
  for (std::size_t i = 0; i < 6; ++i)
    for (const auto& flow : flows) mixed.push_back(flow[i]);
  const auto seen = cut(pass(mixed));
  EXPECT_EQ(seen.size(), mixed.size());
  for (const auto& flow : flows) {
    std::vector<Packet> of_flow;
    for (const auto& packet : seen)
      if (packet[21] == flow[0][21]) of_flow.push_back(packet);
    EXPECT_EQ(of_flow, flow);
  }
  mixed.clear();
  for (std::size_t i = 0; i < 6; ++i)
    for (std::size_t f = 0; f < 4; ++f) mixed.push_back(flows[f][i]);
  EXPECT_EQ(pass(mixed).size(), 4u) << "few at once are put together";
}

TEST_F(CoalesceTest, AnEndingPacketDoesNotOvertakeItsFlow) {
  auto packets = burst({}, 3, 1000);
  Shape fin;
  fin.sequence = 3001;
  fin.flags = 0x11;
  fin.id = 43;
  packets.push_back(make_packet(fin, {}));
  const auto written = pass(packets);
  ASSERT_EQ(written.size(), 2u);
  EXPECT_EQ(cut(written), packets);
}

TEST_F(CoalesceTest, StaysBelowWhatAPacketCanHold) {
  const auto packets = burst({}, 64, 1400, 1400);
  const auto written = pass(packets);
  EXPECT_EQ(cut(written), packets);
  EXPECT_EQ(written.size(), 2u);
  const auto many = burst({}, 200, 100, 100);
  EXPECT_EQ(cut(pass(many)), many);
  EXPECT_EQ(pass(many).size(), 4u);
}

TEST_F(CoalesceTest, WhatIsNeitherTcpNorUdpPassesAsItIs) {
  auto icmp = make_packet({}, payload_of(64));
  icmp[9] = 1;
  auto fragment = make_packet({}, payload_of(64));
  put_be16(fragment.data() + 6, 0x2000);
  auto options = make_packet({}, payload_of(64));
  options[0] = 0x46;
  Packet tiny{0x45};
  auto no_sum = make_packet({.tcp = false}, payload_of(64));
  put_be16(no_sum.data() + 26, 0);
  for (const auto& packet : {icmp, fragment, options, tiny, no_sum, Packet(60, 0)}) {
    const auto written = pass({packet, packet});
    ASSERT_EQ(written.size(), 2u);
    EXPECT_EQ(written[0].packet, packet);
    EXPECT_EQ(written[0].header.flags, 0);
  }
}

}  // namespace
}  // namespace icon::tunnel
