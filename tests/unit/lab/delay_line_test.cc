#include "lab/delay_line.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <string>

namespace icon::lab {
namespace {

constexpr std::int64_t kMs = 1'000'000;

class DelayLineTest : public testing::Test {
 protected:
  void put(const std::string& frame, std::int64_t now_ns) {
    const auto room = line_.reserve();
    ASSERT_GE(room.size(), frame.size());
    std::memcpy(room.data(), frame.data(), frame.size());
    line_.admit(frame.size(), {1, frame.size()}, now_ns);
  }
  std::string take() {
    const auto frame = line_.front();
    std::string text(frame.begin(), frame.end());
    line_.pop();
    return text;
  }

  ChunkPool pool_;
  DelayLine line_{pool_, 42};
};

TEST_F(DelayLineTest, HoldsFramesForTheDelay) {
  line_.set({.delay_ms = 30}, true);
  EXPECT_EQ(line_.next_due_ns(), std::numeric_limits<std::int64_t>::max());
  put("first", 1000);
  put("second", 2000);
  EXPECT_EQ(line_.next_due_ns(), 1000 + 30 * kMs);
  EXPECT_EQ(take(), "first");
  EXPECT_EQ(line_.next_due_ns(), 2000 + 30 * kMs);
  EXPECT_EQ(take(), "second");
  EXPECT_TRUE(line_.empty());
  EXPECT_EQ(line_.counters().packets, 2u);
  EXPECT_EQ(line_.counters().bytes, 11u);
}

TEST_F(DelayLineTest, JitterStaysInItsBoundsAndKeepsTheOrder) {
  line_.set({.delay_ms = 20, .jitter_ms = 5}, true);
  std::int64_t last = 0;
  bool varies = false;
  for (int i = 0; i < 1000; ++i) {
    const std::int64_t now = i * 10 * kMs;
    put(std::to_string(i), now);
    const std::int64_t waits = line_.next_due_ns() - now;
    EXPECT_GE(waits, 15 * kMs);
    EXPECT_LE(waits, 25 * kMs);
    EXPECT_GE(line_.next_due_ns(), last);
    varies = varies || waits != 20 * kMs;
    last = line_.next_due_ns();
    EXPECT_EQ(take(), std::to_string(i));
  }
  EXPECT_TRUE(varies);
}

TEST_F(DelayLineTest, RateSpacesFramesAndDropsWhatWouldWaitTooLong) {
  line_.set({.rate_mbit = 8}, true);  // 1 us a byte
  const std::string frame(976, 'x');  // 1000 with the overhead
  put(frame, 0);
  EXPECT_EQ(line_.next_due_ns(), kMs);
  take();
  for (int i = 0; i < 200; ++i) put(frame, kMs);
  EXPECT_NEAR(static_cast<double>(line_.counters().dropped), 200 - 101, 2);
}

TEST_F(DelayLineTest, LosesTheGivenShare) {
  line_.set({.loss_percent = 10}, true);
  for (int i = 0; i < 10'000; ++i) {
    put("x", i);
    if (!line_.empty()) take();
  }
  EXPECT_NEAR(static_cast<double>(line_.counters().lost), 1000, 120);
  EXPECT_EQ(line_.counters().lost + line_.counters().packets, 10'000u);
}

TEST_F(DelayLineTest, GoingDownLosesWhatIsUnderWayAndWhatComes) {
  line_.set({.delay_ms = 10}, true);
  put("under way", 0);
  line_.set({.delay_ms = 10}, false);
  put("later", 1);
  EXPECT_TRUE(line_.empty());
  EXPECT_EQ(line_.counters().lost, 2u);
  line_.set({.delay_ms = 10}, true);
  put("again", 2);
  EXPECT_EQ(take(), "again");
}

TEST_F(DelayLineTest, AShorterDelayDoesNotOvertake) {
  line_.set({.delay_ms = 100}, true);
  put("slow", 0);
  line_.set({.delay_ms = 1}, true);
  put("quick", 1);
  EXPECT_EQ(take(), "slow");
  EXPECT_EQ(line_.next_due_ns(), 100 * kMs);
}

TEST_F(DelayLineTest, ManyChunksComeOutAsTheyWentInAndAreUsedAgain) {
  line_.set({.delay_ms = 1000}, true);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 300; ++i)
      put(std::string(60'000, static_cast<char>('a' + i % 26)), round * 5000 * kMs);
    for (int i = 0; i < 300; ++i) {
      const std::string frame = take();
      ASSERT_EQ(frame.size(), 60'000u);
      ASSERT_EQ(frame.front(), static_cast<char>('a' + i % 26));
      ASSERT_EQ(frame.back(), frame.front());
    }
  }
}

TEST_F(DelayLineTest, AFullLineRefusesAndRecovers) {
  line_.set({.delay_ms = 1000}, true);
  std::size_t taken = 0;
  while (!line_.reserve().empty()) {
    put(std::string(60'000, 'x'), 0);
    ++taken;
    ASSERT_LT(taken, 2000u);
  }
  EXPECT_GT(taken * 60'000, kLineBytesMax * 8 / 10);
  line_.refuse({1, 60'000});
  EXPECT_EQ(line_.counters().dropped, 1u);
  while (!line_.empty()) line_.pop();
  EXPECT_FALSE(line_.reserve().empty());
}

}  // namespace
}  // namespace icon::lab
