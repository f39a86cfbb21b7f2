#include "budget/decision.h"

#include <gtest/gtest.h>

#include <random>

#include "budget/retire.h"

namespace icon::budget {
namespace {

constexpr UtcMillis kNow = 1'700'000'000'000;

// Six users far away in one network, two near in another; a connection is worth 60000 an hour up
// to 20 ms, 0 from 80 ms. Being here is worth 6*0 + 2*60000 = 120000.
DecisionInput world() {
  DecisionInput input;
  input.here_name = "origin";
  input.here_id = "idorigin";
  input.prefixes = {{*Prefix::parse("198.51.100.0/24"), 6, 80'000, 60},
                    {*Prefix::parse("203.0.113.0/24"), 2, 10'000, 20}};
  input.policy.value_per_connection_hour_ucredits = 60'000;
  input.policy.margin_ucredits = 10'000;
  input.policy.rounds = 1;
  input.budget_left_ucredits = 5'000'000;
  return input;
}

Candidate candidate(const std::string& name, MicroCredits price,
                    std::vector<std::optional<std::int64_t>> rtts_us) {
  Candidate made;
  made.names = {name, name + ".test", "id" + name, false};
  made.source = "dns";
  wire::Offer offer;
  offer.provider_name = name;
  offer.slot_seconds = 3600;
  offer.price_ucredits = price;
  made.offer = offer;
  for (const auto rtt_us : rtts_us)
    made.estimates.push_back(rtt_us ? RttEstimate{EstimateBasis::kOnPath, rtt_us} : RttEstimate{});
  return made;
}

const EvidenceCandidate& of(const Decision& decision, const std::string& name) {
  for (const auto& entry : decision.evidence.candidates)
    if (entry.name == name) return entry;
  ADD_FAILURE() << "no evidence for " << name;
  return decision.evidence.candidates.at(0);
}

std::optional<WouldChange> change(const Decision& decision, const std::string& code,
                                  const std::string& provider = {}) {
  for (const auto& entry : decision.evidence.would_change)
    if (entry.code == code && (provider.empty() || entry.provider == provider)) return entry;
  return std::nullopt;
}

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

// ---- Replicas ----

// Two networks, each near a provider of its own and far from the other's; here is in the middle.
DecisionInput torn() {
  DecisionInput input = world();
  input.prefixes = {{*Prefix::parse("198.51.100.0/24"), 6, 60'000, 60},
                    {*Prefix::parse("203.0.113.0/24"), 6, 60'000, 60}};
  input.candidates = {candidate("west", 10'000, {5'000, 100'000}),
                      candidate("east", 10'000, {100'000, 5'000})};
  input.policy.rounds = 1;
  input.policy.margin_ucredits = 1'000;
  input.budget_left_ucredits = 5'000'000;
  input.history = {};
  input.replicas.max = 2;
  return input;
}

// A move serves six and loses six; a replica serves six and loses nobody.
TEST(DecideReplica, UsersPullApart) {
  const auto decision = decide(torn(), kNow);
  EXPECT_FALSE(decision.move);
  ASSERT_TRUE(decision.replicate);
  ASSERT_TRUE(decision.winner);
  EXPECT_EQ(*decision.winner, 1u);  // of two equals the one with the lesser id
  EXPECT_EQ(decision.evidence.outcome, "replicate");
  EXPECT_EQ(decision.evidence.reason, "won");
  const auto& won = decision.evidence.candidates.at(0);
  // 6 connections from 60 ms (20000 each) to 5 ms (60000), less a slot.
  EXPECT_EQ(won.replica_gain_ucredits, 240'000);
  EXPECT_EQ(won.replica_net_ucredits, 230'000);
  EXPECT_EQ(decision.evidence.payback_ms, 150'000);
  EXPECT_EQ(Evidence::from_json(decision.evidence.to_json())->to_json(),
            decision.evidence.to_json());
}

// Whoever serves both well is moved to: one place costs less than two.
TEST(DecideReplica, OnePlaceForAllIsBetter) {
  auto input = torn();
  input.candidates[0].estimates[1].rtt_us = 5'000;
  const auto decision = decide(input, kNow);
  EXPECT_TRUE(decision.move);
  EXPECT_FALSE(decision.replicate);
  EXPECT_EQ(decision.evidence.outcome, "move");
}

TEST(DecideReplica, NotWithoutLeaveMoneyOrGain) {
  auto none = torn();
  none.replicas.max = 0;
  EXPECT_FALSE(decide(none, kNow).replicate);
  auto enough = torn();
  enough.replicas.running = 2;
  EXPECT_FALSE(decide(enough, kNow).replicate);
  auto there = torn();
  there.replicas.host_ids = {"idwest", "ideast"};
  EXPECT_FALSE(decide(there, kNow).replicate);
  auto poor = torn();
  poor.budget_left_ucredits = 9'999;
  EXPECT_FALSE(decide(poor, kNow).replicate);
  auto dear = torn();
  for (auto& candidate : dear.candidates) candidate.offer->price_ucredits = 239'500;
  const auto decision = decide(dear, kNow);  // gains 500, and more than 1000 is wanted
  EXPECT_FALSE(decision.replicate);
  EXPECT_EQ(decision.evidence.outcome, "stay");
  auto denied = torn();
  denied.policy.providers.deny = {"idwest", "ideast"};
  EXPECT_FALSE(decide(denied, kNow).replicate);
}

TEST(DecideReplica, AsManyRoundsAndPausesAsAMove) {
  auto input = torn();
  input.policy.rounds = 3;
  for (int round = 1; round <= 3; ++round) {
    const auto decision = decide(input, kNow);
    EXPECT_EQ(decision.replicate, round == 3);
    EXPECT_EQ(decision.evidence.rounds_won, round);
    EXPECT_TRUE(decision.history.favourite_replicates);
    input.history = decision.history;
  }
  input.history.moved(kNow);
  EXPECT_FALSE(decide(input, kNow).replicate);
  // As a place to move to it has led in no round yet.
  input.replicas.max = 0;
  input.candidates[0].estimates[1].rtt_us = 5'000;
  EXPECT_EQ(decide(input, kNow).evidence.rounds_won, 1);
}

// ---- Hysteresis ----

// Two equal places whose delay takes turns, in every rhythm: with every guard but one off, within
// any hour there are at most k moves.
TEST(Hysteresis, NeverMoreThanKMovesAnHour) {
  for (const std::int64_t k : {1, 3, 6})
    for (const std::int64_t period_s : {10, 60, 290, 1'700}) {
      std::vector<UtcMillis> moves;
      DecisionHistory history;
      std::string here = "idwest";
      for (UtcMillis now = kNow; now < kNow + 4 * 3'600'000; now += 10'000) {
        auto input = torn();
        const bool west_is_near = (now - kNow) / 1000 / period_s % 2 == 0;
        const auto rtt = [&](const std::string& id) {
          return (id == "idwest") == west_is_near ? 5'000 : 75'000;
        };
        input.here_id = here;
        for (auto& prefix : input.prefixes) prefix.rtt_us = rtt(here);
        for (auto& candidate : input.candidates)
          for (auto& estimate : candidate.estimates) estimate.rtt_us = rtt(candidate.names.id);
        input.policy.cooldown_ms = 0;
        input.policy.moves_per_hour = k;
        input.replicas.max = 0;
        // Not even a broken promise gives leave for more.
        input.broken_promise = "it oscillates";
        input.history = history;
        const auto decision = decide(input, now);
        history = *DecisionHistory::from_json(decision.history.to_json());
        if (!decision.move) continue;
        here = input.candidates.at(*decision.winner).names.id;
        history.moved(now);
        moves.push_back(now);
      }
      EXPECT_GE(moves.size(), 3u) << k << " " << period_s;
      for (std::size_t i = 0; i + static_cast<std::size_t>(k) < moves.size(); ++i)
        EXPECT_GE(moves[i + static_cast<std::size_t>(k)] - moves[i], 3'600'000) << k << period_s;
    }
}

TEST(Hysteresis, SaysUntilWhen) {
  auto input = torn();
  input.policy.moves_per_hour = 2;
  input.policy.cooldown_ms = 0;
  input.history.moves_ms = {kNow - 3'000'000, kNow - 1'000};
  const auto decision = decide(input, kNow);
  EXPECT_FALSE(decision.replicate);
  EXPECT_EQ(decision.evidence.reason, "moves_per_hour");
  const auto& change = decision.evidence.would_change.back();
  EXPECT_EQ(change.code, "moves_per_hour");
  EXPECT_EQ(change.amount, kNow + 600'000);
}

// ---- The end of a replica ----

RetireInput replica() {
  RetireInput input;
  input.policy = world().policy;
  input.policy.rounds = 2;
  input.price_ucredits = 100'000;
  input.slot_seconds = 3600;
  input.prefixes = {{*Prefix::parse("203.0.113.0/24"), 6, 5'000, 60}};
  input.parent_rtt_us = {60'000};
  return input;
}

TEST(Retire, StaysAsLongAsItEarnsItsPrice) {
  auto input = replica();  // 6 * (60000 - 20000) over 100000
  EXPECT_FALSE(retire(input, kNow).end);
  EXPECT_EQ(retire(input, kNow).evidence.reason, "earns_its_price");
  input.rounds_lost = 5;
  EXPECT_EQ(retire(input, kNow).rounds_lost, 0);
  // Nobody knows what they would have at the parent: they are not sent there.
  input.parent_rtt_us.clear();
  EXPECT_FALSE(retire(input, kNow).end);
}

TEST(Retire, EndsWhenDemandVanishes) {
  auto input = replica();
  input.prefixes.clear();
  auto decision = retire(input, kNow);
  EXPECT_FALSE(decision.end);
  EXPECT_EQ(decision.rounds_lost, 1);
  input.rounds_lost = decision.rounds_lost;
  decision = retire(input, kNow);
  EXPECT_TRUE(decision.end);
  EXPECT_EQ(decision.evidence.outcome, "end");
  EXPECT_EQ(decision.evidence.reason, "not_worth_it");
  EXPECT_TRUE(Evidence::from_json(decision.evidence.to_json()));
  // One that has just been born gets its time.
  input.born_ms = kNow - 1;
  EXPECT_FALSE(retire(input, kNow).end);
  // A slot for nothing that serves nobody: it ends, too.
  input.born_ms = 0;
  input.price_ucredits = 0;
  EXPECT_TRUE(retire(input, kNow).end);
}

TEST(Retire, EndsWhenTheParentIsAsNear) {
  auto input = replica();
  input.rounds_lost = 1;
  input.parent_rtt_us = {30'000};  // 6 * 10000 less than 100000
  EXPECT_TRUE(retire(input, kNow).end);
}

}  // namespace
}  // namespace icon::budget
