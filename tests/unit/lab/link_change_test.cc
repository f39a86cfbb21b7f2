#include <gtest/gtest.h>

#include "lab/lab.h"

namespace icon::lab {
namespace {

TEST(LinkChange, ReadsEveryWord) {
  const auto change =
      LinkChange::parse({"delay=40ms", "jitter=500us", "rate=2gbit", "loss=1.5%", "up"});
  ASSERT_TRUE(change) << change.error().message;
  EXPECT_EQ(change->delay_ms, 40);
  EXPECT_EQ(change->jitter_ms, 0.5);
  EXPECT_EQ(change->rate_mbit, 2000);
  EXPECT_EQ(change->loss_percent, 1.5);
  EXPECT_EQ(change->up, true);
}

TEST(LinkChange, LeavesTheRestAlone) {
  const auto change = LinkChange::parse({"down"});
  ASSERT_TRUE(change);
  EXPECT_EQ(change->up, false);
  EXPECT_FALSE(change->changes_shape());
  EXPECT_EQ(LinkChange::parse({"rate=off"})->rate_mbit, 0);
  EXPECT_EQ(LinkChange::parse({"delay=1s"})->delay_ms, 1000);
  EXPECT_EQ(LinkChange::parse({"delay=7"})->delay_ms, 7);
}

TEST(LinkChange, RefusesTheRest) {
  for (const char* word : {"delay", "delay=", "delay=fast", "delay=3mbit", "delay=-1ms",
                           "loss=101%", "rate=inf", "delay=nan", "sideways", "delay=20s", "=3"})
    EXPECT_FALSE(LinkChange::parse({word})) << word;
}

}  // namespace
}  // namespace icon::lab
