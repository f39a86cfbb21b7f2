#include "supervisor/tunnel/offload.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "packets.h"

namespace icon::tunnel {
namespace {

TEST(OffloadTest, SumsAreThoseOfRfc1071) {
  // Section 3's own example: the sum is ddf2, and the field its complement.
  const std::uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  const std::uint16_t checksum = checksum_of(sum_bytes(bytes));
  EXPECT_EQ(get_be16(reinterpret_cast<const std::uint8_t*>(&checksum)), 0xffff & ~0xddf2);
}

TEST(OffloadTest, EveryLengthAndEveryWayOfSummingAgree) {
  std::mt19937 random(7);
  test::Packet bytes(3000);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
  for (std::size_t length = 0; length < bytes.size(); length += length < 300 ? 1 : 37) {
    for (const std::size_t from : {0u, 1u, 3u}) {
      if (from > length) continue;
      const auto part = std::span(bytes).subspan(from, length - from);
      const std::uint16_t plain = test::plain_sum(part);
      test::Packet copy(part.size());
      const std::uint16_t summed = fold_sum(sum_bytes(part));
      const std::uint16_t copied = fold_sum(copy_and_sum(part, copy.data()));
      EXPECT_EQ(get_be16(reinterpret_cast<const std::uint8_t*>(&summed)), plain) << length;
      EXPECT_EQ(copied, summed);
      EXPECT_TRUE(std::equal(copy.begin(), copy.end(), part.begin()));
    }
  }
  const test::Packet ones(65'536, 0xff);
  EXPECT_EQ(fold_sum(sum_bytes(ones)), 0xffff);
}

TEST(OffloadTest, ThePseudoHeaderIsOfBothFamilies) {
  for (const bool v4 : {true, false}) {
    test::Shape shape;
    shape.v4 = v4;
    const auto packet = test::make_packet(shape, test::payload_of(333));
    const std::size_t ip = test::ip_bytes(packet);
    const auto transport = std::span(packet).subspan(ip);
    EXPECT_EQ(fold_sum(sum_bytes(transport, pseudo_sum(packet.data(), 6, transport.size()))),
              0xffff);
  }
}

}  // namespace
}  // namespace icon::tunnel
