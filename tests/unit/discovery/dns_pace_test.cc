#include "discovery/dns_pace.h"

#include <gtest/gtest.h>

namespace icon::discovery {
namespace {

TEST(DnsPace, GrowsOnlyWhenTheWindowIsTheLimit) {
  DnsPace pace({.window_first = 8, .window_max = 100});
  for (int i = 0; i < 50; ++i) pace.on_answer(Micros(500), false);
  EXPECT_EQ(pace.window(), 8u);
  for (int i = 0; i < 8; ++i) pace.on_answer(Micros(500), true);
  EXPECT_EQ(pace.window(), 16u) << "twice as much after one round trip";
  for (int i = 0; i < 500; ++i) pace.on_answer(Micros(500), true);
  EXPECT_EQ(pace.window(), 100u);
}

TEST(DnsPace, LossesOfOneRoundTripAreOne) {
  DnsPace pace({.window_first = 100, .window_min = 4, .window_max = 200});
  pace.on_answer(Micros(500), true);
  SteadyTime now{};
  now += std::chrono::hours(1);
  for (int i = 0; i < 20; ++i) pace.on_lost(now);
  EXPECT_EQ(pace.window(), 60u);
  // From now on one more per round trip.
  for (int i = 0; i < 60; ++i) pace.on_answer(Micros(500), true);
  EXPECT_EQ(pace.window(), 61u);
  for (int i = 0; i < 20; ++i) pace.on_lost(now += std::chrono::seconds(1));
  EXPECT_EQ(pace.window(), 4u);
}

TEST(DnsPace, WaitsAsLongAsTheServerTakes) {
  DnsPace pace({.wait_min = Millis(200), .wait_max = Millis(1'000)});
  EXPECT_EQ(pace.wait(), Millis(500)) << "nothing is known yet";
  for (int i = 0; i < 50; ++i) pace.on_answer(Micros(1'000), false);
  EXPECT_EQ(pace.wait(), Millis(200));
  for (int i = 0; i < 50; ++i) pace.on_answer(Millis(400), false);
  EXPECT_GE(pace.wait(), Millis(400));
  EXPECT_LE(pace.wait(), Millis(600));
  for (int i = 0; i < 50; ++i) pace.on_answer(Millis(3'000), false);
  EXPECT_EQ(pace.wait(), Millis(1'000));
}

}  // namespace
}  // namespace icon::discovery
