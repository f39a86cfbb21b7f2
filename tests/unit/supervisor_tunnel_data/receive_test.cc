// ECN across a tunnel, and the limit on what a peer may send.
#include <gtest/gtest.h>

#include "packets.h"
#include "supervisor/tunnel/device_receive.h"

namespace icon::tunnel {
namespace {

TEST(CarryEcnTest, CongestionIsToldWhereItIsUnderstood) {
  for (const bool v4 : {true, false}) {
    for (const std::uint8_t inner : {0, 1, 2, 3}) {
      test::Shape shape;
      shape.v4 = v4;
      shape.traffic_class = static_cast<std::uint8_t>(0xb8 | inner);
      const auto packet = test::make_packet(shape, test::payload_of(10));
      for (const std::uint8_t outer : {0, 1, 2}) {
        auto same = packet;
        EXPECT_TRUE(carry_ecn(outer, same));
        EXPECT_EQ(same, packet);
      }
      auto marked = packet;
      EXPECT_EQ(carry_ecn(kEcnCongested, marked), inner != 0);
      if (inner == 0) continue;
      shape.traffic_class |= 3;
      EXPECT_EQ(marked, test::make_packet(shape, test::payload_of(10)));
    }
  }
}

class LimiterTest : public ::testing::Test {
 protected:
  // How many of `count` datagrams of 1000 bytes get through, all of them authentic.
  std::size_t offer(std::size_t count) {
    const std::size_t admitted = limiter_.admit(count, count * 1000, clock_.steady());
    limiter_.charge(admitted, admitted * 1000);
    return admitted;
  }
  FakeClock clock_;
  wg::ReceiveLimiter limiter_;
};

TEST_F(LimiterTest, NoneMeansNone) {
  EXPECT_EQ(offer(1'000'000), 1'000'000u);
  EXPECT_EQ(limiter_.dropped(), 0u);
}

TEST_F(LimiterTest, BitsAndPacketsPerSecond) {
  const auto in_ten_seconds = [&](wg::ReceiveLimit limit) {
    limiter_.set(limit);
    clock_.advance(std::chrono::hours(1));
    std::size_t through = 0;
    for (int i = 0; i < 1000; ++i) {
      through += offer(64);
      clock_.advance(Millis(10));
    }
    return through;
  };
  // 8 Mb/s are 1,000 of these datagrams a second; a burst more at the beginning.
  EXPECT_NEAR(static_cast<double>(in_ten_seconds({8'000'000, 0})), 10'130, 20);
  EXPECT_NEAR(static_cast<double>(in_ten_seconds({0, 500})), 5'128, 20);
  EXPECT_NEAR(static_cast<double>(in_ten_seconds({8'000'000, 500})), 5'128, 20);
  EXPECT_GT(limiter_.dropped(), 170'000u);
}

TEST_F(LimiterTest, AForgeryTakesNothing) {
  limiter_.set({8'000'000, 500});
  for (int i = 0; i < 10'000; ++i) (void)limiter_.admit(64, 64'000, clock_.steady());
  EXPECT_EQ(offer(64), 64u);
}

}  // namespace
}  // namespace icon::tunnel
