// Replicas: when to make one, how often, and when one has had its day.
#include <gtest/gtest.h>

#include "budget/decision.h"
#include "budget/retire.h"
#include "tests/unit/budget/decision_world.h"

namespace icon::budget {
namespace {

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
