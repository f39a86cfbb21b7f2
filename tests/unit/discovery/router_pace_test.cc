#include "discovery/router_pace.h"

#include <gtest/gtest.h>

namespace icon::discovery {
namespace {

constexpr SteadyTime kBegin{std::chrono::seconds(50)};
constexpr RouterId kRouter = 3;

TEST(RouterPace, TheBudgetIsKept) {
  RouterPace pace(20, kBegin);
  int sent = 0;
  for (SteadyTime now = kBegin; now < kBegin + Millis(10'000); now += Millis(1)) {
    if (pace.ready_at(kRouter, false, now) > now) continue;
    pace.sent(kRouter, false, now);
    ++sent;
  }
  EXPECT_GE(sent, 200);
  EXPECT_LE(sent, 211);  // and the burst
  EXPECT_LE(pace.counts(kRouter).probes_per_second_max, 31u);
  EXPECT_EQ(pace.counts(kRouter).probes, static_cast<std::uint32_t>(sent));
  // Another router has a budget of its own, and the unknown one none.
  EXPECT_EQ(pace.ready_at(kRouter + 1, false, kBegin), kBegin);
  EXPECT_EQ(pace.ready_at(kNoRouter, true, kBegin), kBegin);
}

TEST(RouterPace, ReadyWhenItSays) {
  RouterPace pace(10, kBegin);
  for (int i = 0; i < 8; ++i) pace.sent(kRouter, false, kBegin);
  const SteadyTime ready = pace.ready_at(kRouter, false, kBegin);
  EXPECT_GT(ready, kBegin);
  EXPECT_EQ(pace.ready_at(kRouter, false, ready), ready);
}

TEST(RouterPace, ALimitIsRecognisedAndFollowed) {
  RouterPace pace(1000, kBegin);
  SteadyTime now = kBegin;
  // Linux: six at once, then one a second.
  double tokens = 6;
  int answered = 0;
  int asked = 0;
  for (; now < kBegin + Millis(20'000); now += Millis(1)) {
    tokens = std::min(6.0, tokens + 0.001);
    if (pace.ready_at(kRouter, true, now) > now) continue;
    pace.sent(kRouter, true, now);
    ++asked;
    if (tokens >= 1) {
      tokens -= 1;
      ++answered;
      pace.answered(kRouter, true, now);
    } else {
      pace.lost(kRouter);
    }
  }
  EXPECT_TRUE(pace.counts(kRouter).limited);
  EXPECT_GE(answered, 20);
  EXPECT_LE(asked, 60);
}

TEST(RouterPace, ASilentRouterIsNotALimitedOne) {
  RouterPace pace(1000, kBegin);
  for (int i = 0; i < 20; ++i) pace.lost(kRouter);
  EXPECT_FALSE(pace.limits_itself(kRouter));
}

TEST(RouterPace, ALimitThatIsNoneIsForgotten) {
  RouterPace pace(1000, kBegin);
  pace.answered(kRouter, false, kBegin);
  for (int i = 0; i < 3; ++i) pace.lost(kRouter);
  EXPECT_TRUE(pace.limits_itself(kRouter));
  for (int i = 0; i < 8; ++i) pace.answered(kRouter, true, kBegin);
  EXPECT_FALSE(pace.limits_itself(kRouter));
}

TEST(RouterPace, OnlyThoseWaitThatGetTheirTurn) {
  RouterPace pace(1000, kBegin);
  pace.answered(kRouter, false, kBegin);
  for (int i = 0; i < 3; ++i) pace.lost(kRouter);
  int waiting = 0;
  while (pace.queue(kRouter, Millis(2000))) ++waiting;
  EXPECT_GE(waiting, 1);
  EXPECT_LE(waiting, 20);
  pace.leave_queue(kRouter);
  EXPECT_TRUE(pace.queue(kRouter, Millis(2000)));
}

}  // namespace
}  // namespace icon::discovery
