#include "supervisor/tunnel/segment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "packets.h"

namespace icon::tunnel {
namespace {

using test::make_packet;
using test::Packet;
using test::payload_of;
using test::Shape;

// As the kernel hands it over: the field holds the pseudo header's sum.
OffloadHeader burst_header(const Packet& packet, std::uint8_t type, std::size_t segment) {
  const std::size_t ip = test::ip_bytes(packet);
  OffloadHeader header;
  header.flags = kNeedsChecksum;
  header.type = type;
  header.segment_bytes = static_cast<std::uint16_t>(segment);
  header.checksum_start = static_cast<std::uint16_t>(ip);
  header.checksum_offset = type == kOffloadUdp ? kUdpChecksumAt : kTcpChecksumAt;
  return header;
}

std::vector<Packet> cut(const OffloadHeader& header, const Packet& packet) {
  const auto segmenter = Segmenter::of(header, packet);
  std::vector<Packet> result;
  if (!segmenter) return result;
  for (std::size_t i = 0; i < segmenter->count(); ++i) {
    Packet& segment = result.emplace_back(segmenter->bytes(i));
    EXPECT_LE(segment.size(), segmenter->bytes_max());
    segmenter->write(i, segment.data());
  }
  return result;
}

class SegmentTest : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Families, SegmentTest, ::testing::Values(true, false),
                         [](const auto& info) { return info.param ? "v4" : "v6"; });

TEST_P(SegmentTest, TcpIsCutAsTheKernelWould) {
  Shape shape;
  shape.v4 = GetParam();
  shape.sequence = 0xffff'ff00;  // wraps
  shape.flags = 0x80 | 0x10 | 0x08 | 0x01;
  const Packet burst = make_packet(shape, payload_of(3000));
  const std::uint8_t type = (shape.v4 ? kOffloadTcp4 : kOffloadTcp6) | kOffloadEcnBit;
  const auto segments = cut(burst_header(burst, type, 1300), burst);
  ASSERT_EQ(segments.size(), 3u);
  for (std::size_t i = 0; i < segments.size(); ++i) {
    Shape expected = shape;
    expected.sequence += static_cast<std::uint32_t>(i * 1300);
    expected.id = static_cast<std::uint16_t>(shape.id + i);
    // CWR only on the first, FIN and PSH only on the last.
    expected.flags = i == 0 ? 0x90 : i == 2 ? 0x19 : 0x10;
    const Packet all = payload_of(3000);
    const std::size_t end = std::min<std::size_t>(all.size(), (i + 1) * 1300);
    const Packet payload(all.begin() + static_cast<long>(i * 1300),
                         all.begin() + static_cast<long>(end));
    EXPECT_EQ(segments[i], make_packet(expected, payload)) << i;
    test::expect_right_checksums(segments[i]);
  }
}

TEST_P(SegmentTest, UdpIsCut) {
  Shape shape;
  shape.v4 = GetParam();
  shape.tcp = false;
  const Packet burst = make_packet(shape, payload_of(2500));
  const auto segments = cut(burst_header(burst, kOffloadUdp, 1200), burst);
  ASSERT_EQ(segments.size(), 3u);
  EXPECT_EQ(segments[2].size(), test::ip_bytes(burst) + 8 + 100);
  for (const auto& segment : segments) {
    test::expect_right_checksums(segment);
    const std::size_t ip = test::ip_bytes(segment);
    EXPECT_EQ(get_be16(segment.data() + ip + 4), segment.size() - ip);
  }
}

TEST_P(SegmentTest, AnUnfinishedChecksumIsFinished) {
  Shape shape;
  shape.v4 = GetParam();
  const Packet whole = make_packet(shape, payload_of(501));
  Packet given = whole;
  const std::size_t ip = test::ip_bytes(whole);
  const std::uint16_t pseudo = fold_sum(pseudo_sum(whole.data(), 6, whole.size() - ip));
  std::memcpy(given.data() + ip + kTcpChecksumAt, &pseudo, sizeof pseudo);
  OffloadHeader header = burst_header(given, kOffloadNone, 0);
  const auto segments = cut(header, given);
  ASSERT_EQ(segments.size(), 1u);
  EXPECT_EQ(segments[0], whole);
  header.flags = 0;
  EXPECT_EQ(cut(header, whole).at(0), whole) << "and a finished one is not touched";
}

TEST(SegmentOddTest, OneSegmentIsNotCut) {
  const Packet packet = make_packet({}, payload_of(700));
  const auto segments = cut(burst_header(packet, kOffloadTcp4, 1300), packet);
  ASSERT_EQ(segments.size(), 1u);
  EXPECT_EQ(segments[0], packet);
}

TEST(SegmentOddTest, ContradictionsAreRefused) {
  const Packet packet = make_packet({}, payload_of(3000));
  const OffloadHeader good = burst_header(packet, kOffloadTcp4, 1000);
  ASSERT_TRUE(Segmenter::of(good, packet));
  const auto refused = [&](auto change) {
    OffloadHeader header = good;
    Packet bytes = packet;
    change(header, bytes);
    EXPECT_FALSE(Segmenter::of(header, bytes));
  };
  refused([](auto& header, auto&) { header.type = kOffloadTcp6; });
  refused([](auto& header, auto&) { header.type = 3; });
  refused([](auto& header, auto&) { header.flags = 0; });
  refused([](auto& header, auto&) { header.segment_bytes = 0; });
  refused([](auto& header, auto&) { header.checksum_start = 8; });
  refused([](auto& header, auto&) { header.checksum_start = 60'000; });
  refused([](auto&, auto& bytes) { bytes[32] = 0x10; });  // a TCP header of 4 bytes
  refused([](auto&, auto& bytes) { bytes.resize(40); });
  refused([](auto&, auto& bytes) { bytes.resize(10); });
  refused([](auto&, auto& bytes) { bytes.clear(); });
  refused([](auto&, auto& bytes) { bytes[0] = 0x75; });
  refused([](auto& header, auto&) {
    header.type = kOffloadNone;
    header.checksum_start = 3040;
  });
}

TEST(SegmentOddTest, EcnIsRead) {
  for (const bool v4 : {true, false}) {
    Shape shape;
    shape.v4 = v4;
    shape.traffic_class = 0xb9;
    const Packet packet = make_packet(shape, payload_of(10));
    EXPECT_EQ(Segmenter::of({}, packet)->ecn(), 1);
  }
}

}  // namespace
}  // namespace icon::tunnel
