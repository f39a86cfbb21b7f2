#include "budget/pace.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace icon::budget {
namespace {

TEST(Pace, EnoughForTheBestIsWorthItsFace) {
  const std::vector<Place> places{{0, 0}, {10, 500}, {30, 600}};
  EXPECT_EQ(worth_of_credit_permille(places, 30), kFaceValuePermille);
  EXPECT_EQ(worth_of_credit_permille(places, 29), 5'000);  // 100 more for 20 more
  EXPECT_EQ(worth_of_credit_permille(places, 9), 50'000);  // 500 for 10
  EXPECT_EQ(worth_of_credit_permille({}, 9), kFaceValuePermille);
  // What is worse and dearer, or under the line between its neighbours, does not count.
  EXPECT_EQ(worth_of_credit_permille(std::vector<Place>{{0, 0}, {10, 1}, {20, 100}, {30, 90}}, 15),
            5'000);
  EXPECT_EQ(worth_of_credit_permille(std::vector<Place>{{10, 5}}, 9), kWeightPermilleMax);
}

// No place within the means is better, at this weight, than the mix that the hull promises.
TEST(Pace, IsTheMultiplierOfTheBudget) {
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<Place> places{{0, 0}};
    for (int i = 0; i < 8; ++i)
      places.push_back({static_cast<MicroCredits>(random() % 50 + 1),
                        static_cast<MicroCredits>(random() % 100'000)});
    const auto affordable = static_cast<MicroCredits>(random() % 50);
    const auto worth = worth_of_credit_permille(places, affordable);
    MicroCredits bound = 0;
    for (const auto& place : places)
      bound = std::max(bound, place.value * 1000 - worth * (place.cost - affordable));
    for (const auto& place : places) {
      if (place.cost > affordable) continue;
      EXPECT_LE(place.value * 1000, bound) << "seed " << seed;
    }
  }
}

TEST(Pace, WeighsByTheAverageOverTime) {
  Pace pace;
  EXPECT_EQ(pace.weigh(10'000, 1'000), 9'000);
  EXPECT_EQ(pace.weigh(10'000, 2'000), 9'000);
  EXPECT_EQ(pace.weigh(40'000, 3'000), 22'500);  // a second at 10, a second at 40
  EXPECT_EQ(pace.mean_permille, 25'000);
  EXPECT_EQ(pace.weigh(kFaceValuePermille, 3'000), kFaceValuePermille);
  EXPECT_EQ(pace.weigh(20'000, 500), 18'000);  // the clock jumped back
  EXPECT_EQ(pace.started_ms, 500);
}

TEST(Pace, SpreadsWhatIsLeft) {
  EXPECT_EQ(affordable_per_horizon(24'000, 3'600'000, 86'400'000), 1'000);
  EXPECT_EQ(affordable_per_horizon(24'000, 3'600'000, 1'000), 24'000);
  EXPECT_EQ(affordable_per_horizon(24'000, 3'600'000, -5), 24'000);
}

}  // namespace
}  // namespace icon::budget
