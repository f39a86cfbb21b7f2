#include "budget/utility.h"

#include <gtest/gtest.h>

#include <limits>

namespace icon::budget {
namespace {

constexpr auto kMax = std::numeric_limits<std::int64_t>::max();

TEST(ValueCurve, FullUpToTheObjectiveThenDownToNothing) {
  const auto curve = make_value_curve(20'000, 60'000, 3'600'000);
  EXPECT_EQ(curve.full_ucredits, 60'000);
  EXPECT_EQ(curve.zero_us, 80'000);
  EXPECT_EQ(curve.value(0), 60'000);
  EXPECT_EQ(curve.value(20'000), 60'000);
  EXPECT_EQ(curve.value(50'000), 30'000);
  EXPECT_EQ(curve.value(79'999), 1);
  EXPECT_EQ(curve.value(80'000), 0);
  EXPECT_EQ(curve.value(kMax), 0);
  EXPECT_EQ(curve.value(-1), 0);
}

TEST(ValueCurve, NeverRisesWithDistance) {
  const auto curve = make_value_curve(7'001, 999'983, 5'400'000);
  for (std::int64_t rtt_us = 0; rtt_us < curve.zero_us; rtt_us += 37)
    ASSERT_GE(curve.value(rtt_us), curve.value(rtt_us + 37)) << rtt_us;
}

TEST(ValueCurve, ScalesWithTheHorizon) {
  EXPECT_EQ(make_value_curve(20'000, 60'000, 1'800'000).full_ucredits, 30'000);
  EXPECT_EQ(make_value_curve(20'000, 60'000, 0).full_ucredits, 0);
  EXPECT_EQ(make_value_curve(20'000, 60'000, -5).full_ucredits, 0);
}

TEST(ValueCurve, AbsurdInputIsClamped) {
  const auto curve = make_value_curve(kMax, kMax, kMax);
  EXPECT_GT(curve.zero_us, curve.objective_us);
  EXPECT_LE(curve.full_ucredits, kUtilityMax);
  EXPECT_EQ(curve.value(0), curve.full_ucredits);
  EXPECT_EQ(make_value_curve(-1, -1, 1).full_ucredits, 0);
}

TEST(Utility, SumsWeightsTimesTheNearestHostLessPrices) {
  const auto curve = make_value_curve(20'000, 60'000, 3'600'000);
  const std::vector<PrefixDemand> prefixes{{3, {50'000, 10'000}}, {2, {50'000, std::nullopt}}};
  const std::vector<MicroCredits> prices{1'000, 2'000};
  EXPECT_EQ(utility(curve, prefixes, prices), 3 * 60'000 + 2 * 30'000 - 3'000);
}

TEST(Utility, WhatIsNotKnownIsWorthNothing) {
  const auto curve = make_value_curve(20'000, 60'000, 3'600'000);
  const std::vector<PrefixDemand> prefixes{{3, {std::nullopt}}, {1, {}}, {-4, {1}}};
  EXPECT_EQ(utility(curve, prefixes, {}), 0);
}

TEST(Utility, SaturatesInsteadOfWrapping) {
  const auto curve = make_value_curve(20'000, kMicroCreditsMax, kMax);
  const std::vector<PrefixDemand> prefixes(3, {kMax, {1}});
  EXPECT_EQ(utility(curve, prefixes, {}), kUtilityMax);
  const std::vector<MicroCredits> prices(5, kUtilityMax);
  EXPECT_EQ(utility(curve, {}, prices), -kUtilityMax);
}

TEST(Slots, WholeOnesAreBought) {
  EXPECT_EQ(slots_for(3'600'000, 3600), 1);
  EXPECT_EQ(slots_for(3'600'001, 3600), 2);
  EXPECT_EQ(slots_for(1, 3600), 1);
  EXPECT_EQ(slots_for(3'600'000, 600), 6);
  EXPECT_EQ(slots_for(3'600'000, 0), 0);
  EXPECT_EQ(slots_for(kMax, kMax), 1);
  EXPECT_EQ(price_over_horizon(7, 6), 42);
  EXPECT_EQ(price_over_horizon(kMicroCreditsMax, kMax), kUtilityMax);
}

}  // namespace
}  // namespace icon::budget
