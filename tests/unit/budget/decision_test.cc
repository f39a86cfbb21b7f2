#include "budget/decision.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/budget/decision_world.h"

namespace icon::budget {
namespace {

TEST(Decide, ResidencyIsTheOwnersWord) {
  auto input = world();
  input.candidates = {candidate("near", 100'000, {5'000, 5'000})};
  input.policy.residency.countries = {"DE"};
  EXPECT_EQ(of(decide(input, kNow), "near").reason, "residency");
  input.candidates[0].offer->country = "DE";
  EXPECT_NE(of(decide(input, kNow), "near").reason, "residency");
}

TEST(Decide, MovesToWhereTheUsersAre) {
  auto input = world();
  // Worth 6*60000 + 2*20000 = 400000 there: gains 280000.
  input.candidates = {candidate("edge", 100'000, {5'000, 60'000})};
  const auto decision = decide(input, kNow);
  EXPECT_TRUE(decision.move);
  EXPECT_EQ(decision.winner, 0u);
  EXPECT_EQ(decision.evidence.outcome, "move");
  EXPECT_EQ(decision.evidence.here_value_ucredits, 120'000);
  const auto& edge = of(decision, "edge");
  EXPECT_EQ(edge.verdict, Verdict::kWon);
  EXPECT_EQ(edge.gain_ucredits, 280'000);
  EXPECT_EQ(edge.net_ucredits, 180'000);
  EXPECT_EQ(change(decision, "winner_price_over")->amount, 269'999);
}

// Of two that promise the same, the surer one; a gain counts as far as it is certain, a loss in
// full.
TEST(Decide, CountsGainsAsFarAsTheyAreCertain) {
  auto input = world();
  input.candidates = {candidate("guess", 100'000, {5'000, 60'000}),
                      candidate("known", 100'000, {5'000, 60'000})};
  for (auto& estimate : input.candidates[0].estimates) estimate.confidence = 50;
  const auto decision = decide(input, kNow);
  EXPECT_EQ(decision.winner, 1u);
  EXPECT_EQ(of(decision, "known").gain_ucredits, 280'000);
  // 360000 gained at one network counts by half, 80000 lost at the other in full.
  EXPECT_EQ(of(decision, "guess").gain_ucredits, 100'000);
  const auto again = Evidence::from_json(decision.evidence.to_json());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->candidates[1].estimates[0].estimate.confidence, 50);
}

TEST(Decide, TheWinningPriceIsExact) {
  auto input = world();
  input.candidates = {candidate("edge", 100'000, {5'000, 60'000})};
  const auto limit = change(decide(input, kNow), "winner_price_over")->amount;
  input.candidates[0].offer->price_ucredits = limit;
  EXPECT_TRUE(decide(input, kNow).move);
  input.candidates[0].offer->price_ucredits = limit + 1;
  const auto decision = decide(input, kNow);
  EXPECT_FALSE(decision.move);
  EXPECT_EQ(of(decision, "edge").reason, "below_margin");
  EXPECT_EQ(change(decision, "price_at_most", "edge")->amount, limit);
}

TEST(Decide, TooDearForWhatItGains) {
  auto input = world();
  input.candidates = {candidate("dear", 900'000, {5'000, 60'000})};
  const auto decision = decide(input, kNow);
  EXPECT_FALSE(decision.move);
  EXPECT_EQ(decision.evidence.reason, "none_worth_it");
  EXPECT_EQ(of(decision, "dear").reason, "too_dear");
  EXPECT_EQ(of(decision, "dear").message,
            "too dear: 900000 > 280000 micro-credits that the gain is worth over the horizon");
  EXPECT_EQ(change(decision, "price_at_most", "dear")->amount, 269'999);
}

TEST(Decide, ManySlotsForOneHorizon) {
  auto input = world();
  input.candidates = {candidate("edge", 100'000, {5'000, 60'000})};
  input.candidates[0].offer->slot_seconds = 1200;
  const auto decision = decide(input, kNow);
  EXPECT_FALSE(decision.move);
  EXPECT_EQ(of(decision, "edge").price_horizon_ucredits, 300'000);
  EXPECT_EQ(change(decision, "price_at_most", "edge")->amount, 89'999);
}

TEST(Decide, TheBestOfferWinsAndTheOthersLearnByHowMuch) {
  auto input = world();
  input.candidates = {candidate("dearer", 150'000, {5'000, 60'000}),
                      candidate("edge", 100'000, {5'000, 60'000}),
                      candidate("farther", 10'000, {50'000, 60'000})};
  const auto decision = decide(input, kNow);
  EXPECT_EQ(decision.winner, 1u);
  EXPECT_EQ(decision.evidence.candidates[0].name, "edge");
  EXPECT_EQ(of(decision, "dearer").reason, "outbid");
  EXPECT_EQ(of(decision, "dearer").loses_by_ucredits, 50'000);
  EXPECT_EQ(change(decision, "price_at_most", "dearer")->amount, 99'999);
  input.candidates[0].offer->price_ucredits = 99'999;
  EXPECT_EQ(decide(input, kNow).winner, 0u);
}

TEST(Decide, RejectedOnesCarryTheirReason) {
  auto input = world();
  input.candidates = {candidate("liar", 1, {1'000, 1'000}),
                      candidate("bad", 1, {1'000, 1'000}),
                      candidate("origin", 1, {1'000, 1'000}),
                      candidate("mute", 1, {1'000, 1'000}),
                      candidate("blind", 1, {std::nullopt, std::nullopt}),
                      candidate("worse", 1, {90'000, 90'000})};
  input.candidates[0].rejection = key_mismatch("a", "b");
  input.policy.providers.deny = {"bad.test"};
  input.candidates[3].offer.reset();
  const auto decision = decide(input, kNow);
  EXPECT_FALSE(decision.move);
  EXPECT_FALSE(decision.winner);
  EXPECT_EQ(of(decision, "liar").reason, "key_mismatch");
  EXPECT_FALSE(of(decision, "liar").scored);
  EXPECT_EQ(of(decision, "bad").reason, "denied");
  EXPECT_EQ(of(decision, "origin").reason, "current_host");
  EXPECT_EQ(of(decision, "mute").reason, "no_offer");
  EXPECT_EQ(of(decision, "blind").reason, "no_estimate");
  EXPECT_EQ(of(decision, "worse").reason, "no_gain");
  EXPECT_FALSE(change(decision, "price_at_most"));
}

TEST(Decide, BudgetAndMaximumPrice) {
  auto input = world();
  input.candidates = {candidate("edge", 100'000, {5'000, 60'000})};
  input.policy.max_price_ucredits = 99'999;
  auto decision = decide(input, kNow);
  EXPECT_EQ(of(decision, "edge").reason, "over_max_price");
  EXPECT_EQ(change(decision, "price_at_most", "edge")->amount, 99'999);
  input.policy.max_price_ucredits.reset();
  input.budget_left_ucredits = 50'000;
  decision = decide(input, kNow);
  EXPECT_EQ(of(decision, "edge").reason, "over_budget");
  EXPECT_EQ(change(decision, "price_at_most", "edge")->amount, 50'000);
}

TEST(Decide, WhatIsNotKnownCountsAsWorthless) {
  auto input = world();
  input.candidates = {candidate("edge", 0, {std::nullopt, 5'000})};
  const auto decision = decide(input, kNow);
  EXPECT_FALSE(decision.move);
  EXPECT_EQ(of(decision, "edge").value_ucredits, 120'000);
  EXPECT_EQ(of(decision, "edge").reason, "no_gain");
  // Fewer estimates than prefixes: the same.
  input.candidates[0].estimates.clear();
  EXPECT_EQ(of(decide(input, kNow), "edge").reason, "no_estimate");
}

TEST(Decide, LeavingAPaidSlotSavesItsPrice) {
  auto input = world();
  input.here_price_ucredits = 200'000;
  input.here_slot_seconds = 3600;
  input.candidates = {candidate("edge", 300'000, {5'000, 60'000})};
  const auto decision = decide(input, kNow);
  EXPECT_TRUE(decision.move);
  EXPECT_EQ(of(decision, "edge").net_ucredits, 180'000);
  EXPECT_EQ(decision.evidence.here_price_ucredits, 200'000);
}

TEST(Decide, NobodyThere) {
  auto input = world();
  input.prefixes.clear();
  input.candidates = {candidate("edge", 0, {})};
  const auto decision = decide(input, kNow);
  EXPECT_FALSE(decision.move);
  EXPECT_EQ(decision.evidence.reason, "no_users");
  EXPECT_TRUE(change(decision, "users"));
  input = world();
  EXPECT_EQ(decide(input, kNow).evidence.reason, "no_candidates");
}

TEST(Decide, TheSameWinnerSeveralRoundsRunning) {
  auto input = world();
  input.policy.rounds = 3;
  input.candidates = {candidate("edge", 100'000, {5'000, 60'000})};
  for (int round = 1; round <= 2; ++round) {
    const auto decision = decide(input, kNow);
    EXPECT_FALSE(decision.move);
    EXPECT_EQ(decision.evidence.reason, "rounds");
    EXPECT_EQ(decision.evidence.rounds_won, round);
    EXPECT_EQ(change(decision, "rounds")->amount, 3 - round);
    input.history = decision.history;
  }
  EXPECT_TRUE(decide(input, kNow).move);
  // A round that it does not win starts the count again.
  input.candidates[0].rejection = Rejection{"unreachable", "it does not answer"};
  auto decision = decide(input, kNow);
  EXPECT_EQ(decision.history, (DecisionHistory{"", 0, 0, {}}));
  input.history = decision.history;
  input.candidates[0].rejection.reset();
  EXPECT_EQ(decide(input, kNow).evidence.rounds_won, 1);
}

TEST(Decide, TwoEqualsDoNotTakeTurns) {
  auto input = world();
  input.policy.rounds = 3;
  input.candidates = {candidate("a", 100'000, {5'000, 60'000}),
                      candidate("b", 100'000, {5'000, 60'000})};
  for (int round = 0; round < 3; ++round) {
    // Each is in turn a little cheaper, by less than the margin.
    input.candidates[0].offer->price_ucredits = 100'000 + (round % 2) * 5'000;
    input.candidates[1].offer->price_ucredits = 105'000 - (round % 2) * 5'000;
    const auto decision = decide(input, kNow);
    EXPECT_EQ(decision.winner, 0u) << round;
    EXPECT_EQ(decision.evidence.rounds_won, round + 1);
    EXPECT_EQ(decision.move, round == 2);
    input.history = decision.history;
  }
  // By more than the margin: the other one leads now.
  input.candidates[1].offer->price_ucredits = 80'000;
  EXPECT_EQ(decide(input, kNow).winner, 1u);
  EXPECT_EQ(decide(input, kNow).evidence.rounds_won, 1);
}

TEST(Decide, APauseAfterEachMove) {
  auto input = world();
  input.policy.cooldown_ms = 60'000;
  input.history.last_move_ms = kNow - 59'999;
  input.candidates = {candidate("edge", 100'000, {5'000, 60'000})};
  auto decision = decide(input, kNow);
  EXPECT_FALSE(decision.move);
  EXPECT_EQ(decision.evidence.reason, "cooldown");
  EXPECT_EQ(change(decision, "cooldown")->amount, kNow + 1);
  EXPECT_EQ(decision.history.last_move_ms, kNow - 59'999);
  EXPECT_TRUE(decide(input, kNow + 1).move);
  // The clock of the host before was an hour ahead.
  input.history.last_move_ms = kNow + 3'600'000;
  EXPECT_TRUE(decide(input, kNow).move);
}

TEST(Decide, SameInputSameEvidence) {
  auto input = world();
  input.candidates = {candidate("a", 100'000, {5'000, 60'000}),
                      candidate("b", 100'000, {5'000, 60'000})};
  const auto once = *json::canonical(decide(input, kNow).evidence.to_json());
  EXPECT_EQ(*json::canonical(decide(input, kNow).evidence.to_json()), once);
  std::swap(input.candidates[0], input.candidates[1]);
  EXPECT_EQ(*json::canonical(decide(input, kNow).evidence.to_json()), once);
}

TEST(Decide, HistoryTravelsAsJson) {
  const DecisionHistory history{"idedge", 2, kNow, {}};
  EXPECT_EQ(*DecisionHistory::from_json(history.to_json()), history);
  EXPECT_FALSE(DecisionHistory::from_json({{"favourite_id", 3}}));
}

// Whatever the input: a decision, evidence that reads back, money within the limits, and a move
// only to somebody who was allowed, affordable and better.
TEST(Decide, RandomInputs) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const auto number = [&](std::int64_t max) {
    const auto value = static_cast<std::int64_t>(random() % 1'000'000'007);
    return random() % 50 == 0 ? max : value % (max + 1);
  };
  for (int i = 0; i < 3000; ++i) {
    DecisionInput input;
    input.here_id = "id0";
    input.here_price_ucredits = number(1'000'000);
    input.here_slot_seconds = number(7200);
    for (std::size_t p = random() % 6; p > 0; --p)
      input.prefixes.push_back({Prefix::of_user(Address::v4(static_cast<std::uint32_t>(random()))),
                                number(kMicroCreditsMax), number(200'000), number(1000)});
    input.policy.objective_us = number(50'000);
    input.policy.value_per_connection_hour_ucredits = number(100'000);
    input.policy.margin_ucredits = number(100'000);
    input.policy.rounds = number(4);
    input.policy.cooldown_ms = number(120'000);
    input.budget_left_ucredits = number(2'000'000);
    if (random() % 2 == 0) input.policy.max_price_ucredits = number(1'000'000);
    input.history = {"id" + std::to_string(random() % 6), number(5), kNow - number(200'000), {}};
    for (std::size_t c = random() % 6; c > 0; --c) {
      auto made = candidate(std::to_string(c), number(1'000'000), {});
      for (std::size_t p = 0; p < input.prefixes.size(); ++p)
        made.estimates.push_back(random() % 4 == 0
                                     ? RttEstimate{}
                                     : RttEstimate{EstimateBasis::kOnPath, number(200'000)});
      if (random() % 6 == 0) made.offer.reset();
      if (random() % 6 == 0) made.rejection = Rejection{"unreachable", "it does not answer"};
      input.candidates.push_back(std::move(made));
    }
    const auto decision = decide(input, kNow);
    const auto text = json::canonical(decision.evidence.to_json());
    ASSERT_TRUE(text);
    const auto read = Evidence::from_json(*json::parse_object(*text, kEvidenceBytesMax));
    ASSERT_TRUE(read) << read.error().message;
    ASSERT_EQ(*json::canonical(read->to_json()), *text);
    ASSERT_LE(decision.history.rounds_won, input.history.rounds_won + 1);
    if (!decision.move) continue;
    const auto& winner = input.candidates.at(*decision.winner);
    ASSERT_FALSE(winner.rejection);
    ASSERT_LE(winner.offer->price_ucredits, input.budget_left_ucredits);
    ASSERT_NE(winner.names.id, input.here_id);
    ASSERT_GT(decision.evidence.candidates[0].net_ucredits, input.policy.margin_ucredits);
    ASSERT_GE(decision.history.rounds_won, input.policy.rounds);
  }
}

TEST(Decide, LargeWorldsGiveBoundedEvidence) {
  auto input = world();
  for (int i = 0; i < 500; ++i)
    input.prefixes.push_back(
        {Prefix::of_user(Address::v4(0x0b000000u + (static_cast<std::uint32_t>(i) << 8))), 1,
         80'000, 1});
  for (int i = 0; i < 200; ++i)
    input.candidates.push_back(candidate("p" + std::to_string(i), 1'000'000 + i,
                                         std::vector<std::optional<std::int64_t>>(502, 5'000)));
  const auto decision = decide(input, kNow);
  EXPECT_TRUE(decision.move);
  EXPECT_EQ(decision.evidence.prefixes.size(), kEvidencePrefixesMax);
  EXPECT_EQ(decision.evidence.candidates.size(), kEvidenceCandidatesMax);
  EXPECT_EQ(decision.evidence.prefixes[0].connections, 6);
  EXPECT_EQ(decision.evidence.prefixes_total, 502);
  EXPECT_LT(json::canonical(decision.evidence.to_json())->size(), kEvidenceBytesMax);
  EXPECT_TRUE(Evidence::from_json(decision.evidence.to_json()));
}

// Gains 280000 for 100000 or 160000 for 20000. 50000 an hour can be spent: not enough for the dear
// one most of the time.
TEST(Decide, ABudgetThatMustLastTakesTheCheaperPlace) {
  auto input = world();
  input.budget_left_ucredits = 1'150'000;
  input.candidates = {candidate("dear", 100'000, {5'000, 60'000}),
                      candidate("cheap", 20'000, {40'000, 60'000})};
  EXPECT_EQ(decide(input, kNow).evidence.to_name, "dear");
  input.policy.lasts_ms = 86'400'000;
  input.history.pace = {kNow - 3'600'000, kNow - 1, {}};
  const auto decision = decide(input, kNow);
  EXPECT_EQ(decision.evidence.to_name, "cheap");
  EXPECT_EQ(decision.evidence.affordable_ucredits, 50'000);
  EXPECT_EQ(decision.evidence.money_weight_permille, 1'502);
  EXPECT_EQ(decision.history.pace.seen_ms, kNow);
  const auto again = DecisionHistory::from_json(decision.history.to_json());
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, decision.history);
}

TEST(Decide, WhoIsHeldSaysWhatItWouldDo) {
  auto input = world();
  input.candidates = {candidate("near", 1'000, {5'000, 60'000})};
  input.policy.rounds = 1;
  ASSERT_TRUE(decide(input, kNow).move);
  input.held = true;
  const auto decision = decide(input, kNow);
  EXPECT_FALSE(decision.move);
  EXPECT_EQ(decision.evidence.outcome, "stay");
  EXPECT_EQ(decision.evidence.reason, "held");
  EXPECT_EQ(decision.evidence.to_name, "near");
  EXPECT_EQ(decision.evidence.would_change.back().code, "unhold");
}

TEST(Decide, WhereMoneyMustLastTheFreePlaceWinsWhenNobodyIsThere) {
  auto input = world();
  input.here_price_ucredits = 100'000;
  input.here_slot_seconds = 3600;
  input.prefixes = {{*Prefix::parse("198.51.100.0/24"), 1, 5'000, 60}};
  input.candidates = {candidate("origin2", 0, {50'000})};
  EXPECT_EQ(of(decide(input, kNow), "origin2").reason, "no_gain");
  input.policy.lasts_ms = 86'400'000;
  input.budget_left_ucredits = 500'000;  // for five hours of 24
  EXPECT_TRUE(decide(input, kNow).move);
}

}  // namespace
}  // namespace icon::budget
