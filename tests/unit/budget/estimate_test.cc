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

// What contradicts itself is believed less, and never becomes negative.
TEST(Estimate, ContradictionsCostConfidence) {
  const auto sure = estimate_rtt(on_path()).confidence;
  EXPECT_LT(sure, kCertain) << "a first guess";
  const std::array<HopRtt, 2> behind{{{3, 130'000}, {4, 120'000}}};
  auto input = on_path();
  input.hops = behind;  // the hop and all behind it are farther than the user himself
  const auto asymmetric = estimate_rtt(input);
  EXPECT_LT(asymmetric.confidence, sure);
  EXPECT_EQ(asymmetric.rtt_us, kRttFloorUs);
  EXPECT_NE(asymmetric.detail.find("farther than the user"), std::string::npos);
  const std::array<HopRtt, 2> late{{{3, 300'000}, {4, 70'000}}};
  input.hops = late;
  EXPECT_LT(estimate_rtt(input).confidence, sure);
  EXPECT_GT(estimate_rtt(input).confidence, asymmetric.confidence);
}

TEST(Estimate, PingsAndPathsThatAgreeAreSurest) {
  auto input = on_path();
  input.provider_connect_rtt_us = 70'000;
  const auto guess = estimate_rtt(input);
  input.measured_rtt_us = *guess.rtt_us + 1'000;
  const auto agrees = estimate_rtt(input);
  input.measured_rtt_us = *guess.rtt_us * 3;
  const auto differs = estimate_rtt(input);
  EXPECT_GT(agrees.confidence, differs.confidence);
  EXPECT_GT(differs.confidence, guess.confidence);
  EXPECT_NE(differs.detail.find("it says 30.0 ms; 10.0 ms by the path"), std::string::npos)
      << differs.detail;
}

// It sits beside us and says that it sits beside them, who are far from us.
TEST(Estimate, AWordThatCannotBeTrue) {
  EstimateInput input;
  input.user_rtt_us = 80'000;
  input.provider_connect_rtt_us = 2'000;
  input.measured_rtt_us = 1'000;
  const auto estimate = estimate_rtt(input);
  EXPECT_EQ(estimate.basis, EstimateBasis::kMeasured);
  EXPECT_LE(estimate.confidence, 20);
  input.provider_connect_rtt_us = 75'000;
  EXPECT_GT(estimate_rtt(input).confidence, 70);
}

TEST(Estimate, WhatWasDeliveredBeatsEveryWord) {
  auto input = on_path();
  input.measured_rtt_us = 1'000;
  input.delivered_rtt_us = 79'000;
  input.delivered_age_ms = 60'000;
  const auto fresh = estimate_rtt(input);
  EXPECT_EQ(fresh.basis, EstimateBasis::kDelivered);
  EXPECT_EQ(fresh.rtt_us, 79'000);
  input.delivered_age_ms = kDeliveredAgeMaxMs;
  EXPECT_LT(estimate_rtt(input).confidence, fresh.confidence);
  input.delivered_age_ms = kDeliveredAgeMaxMs + 1;
  EXPECT_EQ(estimate_rtt(input).basis, EstimateBasis::kMeasured);
}

TEST(Estimate, TrustScalesConfidence) {
  auto input = on_path();
  const auto before = estimate_rtt(input);
  input.trust = 50;
  EXPECT_EQ(estimate_rtt(input).confidence, before.confidence / 2);
  EXPECT_EQ(estimate_rtt(input).rtt_us, before.rtt_us);
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
       {EstimateBasis::kDelivered, EstimateBasis::kMeasured, EstimateBasis::kOnPath,
        EstimateBasis::kConfigured, EstimateBasis::kViaHere, EstimateBasis::kNone})
    EXPECT_EQ(estimate_basis(to_string(basis)), basis);
  EXPECT_EQ(estimate_basis("guessed"), EstimateBasis::kNone);
}

}  // namespace
}  // namespace icon::budget
