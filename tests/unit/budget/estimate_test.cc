#include "budget/estimate.h"

#include <gtest/gtest.h>

#include <array>

namespace icon::budget {
namespace {

// origin --10 ms-- transit --25 ms-- access (ttl 3, the provider's) --5 ms-- user: RTT 80 ms
constexpr std::array<HopRtt, 4> kHops{{{1, 1'000}, {2, 20'000}, {3, 70'000}, {4, 79'000}}};

EstimateInput on_path() {
  EstimateInput input;
  input.user_rtt_us = 80'000;
  input.hops = kHops;
  input.provider_ttl = 3;
  return input;
}

TEST(Estimate, OnPathIsTheRestOfTheWay) {
  const auto estimate = estimate_rtt(on_path());
  EXPECT_EQ(estimate.basis, EstimateBasis::kOnPath);
  EXPECT_EQ(estimate.rtt_us, 10'000);
}

TEST(Estimate, AProviderBehindItsHopPaysTheDetour) {
  auto input = on_path();
  input.provider_connect_rtt_us = 76'000;
  EXPECT_EQ(estimate_rtt(input).rtt_us, 16'000);
  input.provider_connect_rtt_us = 60'000;  // nearer than the hop: no detour, no bonus
  EXPECT_EQ(estimate_rtt(input).rtt_us, 10'000);
}

TEST(Estimate, ASlowRouterIsNoFartherThanWhatLiesBehindIt) {
  const std::array<HopRtt, 3> hops{{{1, 1'000}, {3, 300'000}, {4, 60'000}}};
  auto input = on_path();
  input.hops = hops;
  EXPECT_EQ(estimate_rtt(input).rtt_us, 20'000);
  const std::array<HopRtt, 1> only{{{3, 300'000}}};
  input.hops = only;  // farther than the user: then as far as the user
  EXPECT_EQ(estimate_rtt(input).rtt_us, kRttFloorUs);
}

TEST(Estimate, ASilentHopTakesTheNextOneThatAnswers) {
  const std::array<HopRtt, 2> hops{{{2, 20'000}, {4, 79'000}}};
  auto input = on_path();
  input.hops = hops;
  EXPECT_EQ(estimate_rtt(input).rtt_us, 1'000);
}

TEST(Estimate, NothingAnsweredFromThereOn) {
  const std::array<HopRtt, 1> hops{{{1, 1'000}}};
  auto input = on_path();
  input.hops = hops;
  EXPECT_EQ(estimate_rtt(input).basis, EstimateBasis::kNone);
  EXPECT_FALSE(estimate_rtt(input).rtt_us);
}

TEST(Estimate, OffPathIsNoBetterThanViaHere) {
  EstimateInput input;
  input.user_rtt_us = 80'000;
  input.provider_connect_rtt_us = 30'000;
  EXPECT_EQ(estimate_rtt(input).basis, EstimateBasis::kViaHere);
  EXPECT_EQ(estimate_rtt(input).rtt_us, 110'000);
}

TEST(Estimate, ConfiguredBeatsViaHereAndOnPathBeatsConfigured) {
  EstimateInput input;
  input.user_rtt_us = 80'000;
  input.provider_connect_rtt_us = 30'000;
  input.configured_rtt_us = 12'000;
  EXPECT_EQ(estimate_rtt(input).basis, EstimateBasis::kConfigured);
  EXPECT_EQ(estimate_rtt(input).rtt_us, 12'000);
  auto path = on_path();
  path.configured_rtt_us = 1;
  EXPECT_EQ(estimate_rtt(path).basis, EstimateBasis::kOnPath);
}

TEST(Estimate, MeasuredBeatsAll) {
  auto input = on_path();
  input.measured_rtt_us = 33'000;
  EXPECT_EQ(estimate_rtt(input).basis, EstimateBasis::kMeasured);
  EXPECT_EQ(estimate_rtt(input).rtt_us, 33'000);
}

TEST(Estimate, ImplausibleNumbersDoNotCount) {
  EstimateInput input;
  input.user_rtt_us = -1;
  input.provider_connect_rtt_us = 10;
  input.measured_rtt_us = kRttUsMax + 1;
  input.configured_rtt_us = -5;
  EXPECT_EQ(estimate_rtt(input).basis, EstimateBasis::kNone);
}

TEST(Estimate, BasisNamesGoBothWays) {
  for (const auto basis :
       {EstimateBasis::kMeasured, EstimateBasis::kOnPath, EstimateBasis::kConfigured,
        EstimateBasis::kViaHere, EstimateBasis::kNone})
    EXPECT_EQ(estimate_basis(to_string(basis)), basis);
  EXPECT_EQ(estimate_basis("guessed"), EstimateBasis::kNone);
}

}  // namespace
}  // namespace icon::budget
