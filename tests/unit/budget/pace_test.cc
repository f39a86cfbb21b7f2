#include "budget/pace.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace icon::budget {
namespace {

constexpr std::int64_t kHour = 3'600'000;
constexpr UtcMillis kBegin = 1'767'225'600'000;  // midnight

Means means(MicroCredits left, std::int64_t hours = 24) {
  return {left, kHour, kBegin + hours * kHour};
}

TEST(Pace, TheHullIsWhatCanBeBest) {
  // What is worse and dearer, or under the line between its neighbours, does not count.
  EXPECT_EQ(hull_of({{30, 90}, {10, 1}, {0, 0}, {20, 100}}),
            (std::vector<Place>{{0, 0}, {20, 100}}));
  EXPECT_EQ(hull_of({{0, 0}, {10, 500}, {30, 600}}),
            (std::vector<Place>{{0, 0}, {10, 500}, {30, 600}}));
  EXPECT_TRUE(hull_of({}).empty());
}

TEST(Pace, EnoughForTheBestIsWorthItsFace) {
  Pace pace;
  pace.see(std::vector<Place>{{0, 0}, {10, 500}, {30, 600}}, kBegin);
  EXPECT_EQ(pace.weigh(means(24 * 30), kBegin).going, kFaceValuePermille);
  EXPECT_NEAR(static_cast<double>(pace.weigh(means(24 * 20), kBegin).going), 5'000, 10);
  EXPECT_NEAR(static_cast<double>(pace.weigh(means(24 * 9), kBegin).going), 50'000, 60);
  EXPECT_LT(pace.weigh(means(24 * 9), kBegin).leaving, 41'000);
  EXPECT_EQ(Pace().weigh(means(1), kBegin).going, kFaceValuePermille);
}

// Whoever can buy for most of the time begins at once; else he waits for a better hour.
TEST(Pace, ASteadyDemandIsServedLateButServed) {
  Pace pace;
  const std::vector<Place> places{{0, 0}, {10, 500}};
  pace.see(places, kBegin);
  EXPECT_LT(pace.weigh(means(24 * 6), kBegin).going, 50'000);
  EXPECT_GT(pace.weigh(means(24 * 4), kBegin).going, 50'000);
  const auto late = kBegin + 20 * kHour;
  pace.see(places, late);
  EXPECT_EQ(pace.weigh(means(24 * 4), late).going, kFaceValuePermille);
}

// A day was seen: one hour of ten times the worth, and money for that hour.
TEST(Pace, TheMoneyIsKeptForTheHourThatEarnsMost) {
  Pace pace;
  for (std::int64_t hour = 0; hour < 24; ++hour)
    pace.see(std::vector<Place>{{0, 0}, {10, hour == 20 ? 5'000 : 500}}, kBegin + hour * kHour);
  const auto next = kBegin + 24 * kHour;
  pace.see(std::vector<Place>{{0, 0}, {10, 500}}, next);
  EXPECT_GT(pace.weigh({5, kHour, next + 24 * kHour}, next).going, 50'000);
  const auto evening = next + 20 * kHour;
  pace.see(std::vector<Place>{{0, 0}, {10, 5'000}}, evening);
  EXPECT_LT(pace.weigh({5, kHour, next + 24 * kHour}, evening).going, 500'000);
}

TEST(Pace, HoursWithoutDemandCostNothing) {
  Pace pace;
  pace.see(std::vector<Place>{{0, 0}, {10, 500}}, kBegin);
  EXPECT_GT(pace.weigh(means(100), kBegin).going, 1'000);
  for (std::int64_t hour = 1; hour < 24; ++hour) pace.see_nothing(kBegin + hour * kHour);
  const auto next = kBegin + 24 * kHour;
  pace.see(std::vector<Place>{{0, 0}, {10, 500}}, next);
  EXPECT_EQ(pace.weigh({10, kHour, next + 24 * kHour}, next).going, kFaceValuePermille);
}

// At its weight the plan for the day spends no more than there is.
TEST(Pace, ThePlanKeepsWithinTheMeans) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    std::mt19937_64 random(seed);
    const auto upto = [&](std::uint64_t most) {
      return static_cast<MicroCredits>(random() % most);
    };
    Pace pace;
    for (std::int64_t hour = 0; hour < 24; ++hour) {
      std::vector<Place> places{{0, 0}};
      for (int i = 0; i < 6; ++i) places.push_back({upto(50) + 1, upto(100'000)});
      pace.see(places, kBegin + hour * kHour);
    }
    const auto now = kBegin + 23 * kHour;
    const auto left = upto(1'000);
    const auto weight = pace.weigh({left, kHour, now + 24 * kHour}, now).going;
    MicroCredits spent = 0;
    for (const auto& hull : pace.hours) {
      Place best = hull.front();
      for (const auto& place : hull)
        if ((place.value - best.value) * 1000 >
            (weight + weight / 500 + 1) * (place.cost - best.cost))
          best = place;
      spent += best.cost;
    }
    EXPECT_LE(spent, left) << "seed " << seed;
  }
}

TEST(Pace, SurvivesADiskAndAClockThatJumpsBack) {
  Pace pace;
  std::vector<Place> many;
  for (MicroCredits i = 0; i < 40; ++i) many.push_back({i * 10, 1'000'000 - (40 - i) * (40 - i)});
  pace.see(many, kBegin);
  EXPECT_LE(pace.hours[0].size(), kPacePlacesMax);
  pace.see(std::vector<Place>{{0, 0}, {7, 9}}, kBegin + 3 * kHour);
  const auto again = Pace::from_json(pace.to_json());
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, pace);
  auto wrong = pace.to_json();
  wrong["hours"].as_array()[0].as_object()["hour"] = 24;
  EXPECT_FALSE(Pace::from_json(wrong));
  wrong["hours"].as_array()[0] = 3;
  EXPECT_FALSE(Pace::from_json(wrong));
  EXPECT_EQ(*Pace::from_json(Pace().to_json()), Pace());
  pace.see(many, kBegin - kHour);
  EXPECT_EQ(pace.started_ms, kBegin - kHour);
  EXPECT_TRUE(pace.hours[0].empty());
}

TEST(Pace, SpreadsWhatIsLeft) {
  EXPECT_EQ(affordable_per_horizon({24'000, kHour, 24 * kHour}, 0), 1'000);
  EXPECT_EQ(affordable_per_horizon({24'000, kHour, 1'000}, 0), 24'000);
  EXPECT_EQ(affordable_per_horizon({24'000, kHour, 0}, 5), 24'000);
}

}  // namespace
}  // namespace icon::budget
