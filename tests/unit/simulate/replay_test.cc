#include "simulate/replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

namespace icon::simulate {
namespace {

using ::testing::HasSubstr;

constexpr UtcMillis kStart = 1'700'000'000'000;

// An hour at the origin, a round each ten seconds: six users at 80 ms, who would be at 5 ms from
// the edge, a slot of which costs 0.1 credits.
std::string record_of_an_hour() {
  budget::DecisionInput input;
  input.here_name = "origin";
  input.here_id = "idorigin";
  input.prefixes = {{*Prefix::parse("198.51.100.0/24"), 6, 80'000, 60}};
  budget::Candidate edge;
  edge.names = {"edge", "edge.test", "idedge", false};
  edge.source = "dns";
  edge.offer.emplace();
  edge.offer->slot_seconds = 3600;
  edge.offer->price_ucredits = 100'000;
  edge.rejection = budget::Rejection{"over_budget", "too dear"};
  edge.estimates = {{budget::EstimateBasis::kMeasured, 5'000}};
  input.candidates = {edge};
  std::string text;
  for (int i = 0; i <= 360; ++i)
    text +=
        boost::json::serialize(agent::observed_to_json({kStart + i * 10'000, input, {}})) + "\n";
  return text;
}

TEST(Replay, AnotherBudgetWouldHaveMoved) {
  const auto rounds = agent::read_record(record_of_an_hour());
  ASSERT_TRUE(rounds) << rounds.error().message;
  agent::Policy policy;
  policy.budget_ucredits = 5'000'000;
  const auto found = replay(*rounds, policy);
  EXPECT_EQ(found.ms, 3'600'000);
  EXPECT_EQ(found.recorded.moves, 0);
  EXPECT_EQ(found.recorded.cost, 0);
  EXPECT_EQ(found.recorded.worth, 0);
  EXPECT_EQ(found.other.moves, 1);
  EXPECT_EQ(found.other.rtt.percentile_us(50), 5'000);
  // Three rounds go by before the move.
  EXPECT_NEAR(static_cast<double>(found.other.cost), 100'000.0 * 3'570 / 3'600, 1'000);
  EXPECT_NEAR(static_cast<double>(found.other.worth), 300'000.0 * 3'570 / 3'600, 1'000);
}

TEST(Replay, WithoutMoneyItIsTheLifeThatWas) {
  const auto rounds = agent::read_record(record_of_an_hour());
  const auto found = replay(*rounds, agent::Policy());
  EXPECT_EQ(found.other.moves, 0);
  EXPECT_EQ(found.other.rtt.percentile_us(95), found.recorded.rtt.percentile_us(95));
  EXPECT_EQ(found.alike, found.rounds);
}

// The same decisions made anew: the move of then is the move of now, and it took as long.
TEST(Replay, TheSamePolicyDecidesTheSame) {
  agent::Policy policy;
  policy.budget_ucredits = 5'000'000;
  auto rounds = *agent::read_record(record_of_an_hour());
  auto live = rounds.front().input;
  live.policy = policy.decision_policy();
  live.budget_left_ucredits = policy.budget_ucredits;
  live.candidates[0].rejection.reset();
  std::vector<agent::ObservedRound> recorded;
  for (auto& round : rounds) {
    const auto decision = budget::decide(live, round.at_ms);
    recorded.push_back({round.at_ms, live, decision.move ? decision.evidence.to_id : ""});
    live.history = decision.history;
    if (!decision.move) continue;
    EXPECT_EQ(recorded.size(), 3u);
    live.here_id = "idedge";
    live.here_price_ucredits = 100'000;
    live.here_slot_seconds = 3600;
    live.prefixes[0].rtt_us = 5'000;
    live.history.last_move_ms = round.at_ms + 4'000;
  }
  std::string text;
  for (const auto& round : recorded)
    text += boost::json::serialize(agent::observed_to_json(round)) + "\n";
  const auto found = replay(*agent::read_record(text), policy);
  EXPECT_EQ(found.alike, found.rounds);
  EXPECT_EQ(found.other.moves, 1);
  EXPECT_EQ(found.recorded.moves, 1);
  EXPECT_EQ(found.other.worth, found.recorded.worth);
  EXPECT_EQ(found.other.cost, found.recorded.cost);
  policy.budget_ucredits = 0;
  EXPECT_LT(replay(*agent::read_record(text), policy).alike, found.rounds);
}

TEST(Record, MistakesAreNamedWithTheirLine) {
  const auto good = record_of_an_hour();
  const auto line = good.substr(0, good.find('\n') + 1);
  const auto message = [](const std::string& text) {
    const auto read = agent::read_record(text);
    return read ? std::string("it was read") : read.error().message;
  };
  EXPECT_THAT(message(line + "{\"version\":1"), HasSubstr("line 2: it is torn"));
  const std::string endless(agent::kObservedLineBytesMax + 1, ' ');
  EXPECT_THAT(message(line + endless + "\n"), HasSubstr("line 2: "));
  EXPECT_THAT(message(std::string(agent::kRecordBytesMax + 1, '\n')), HasSubstr("bytes"));
  EXPECT_THAT(message(std::string(100'000, '[') + "\n"), HasSubstr("line 1: "));
  EXPECT_THAT(message(""), HasSubstr("no round"));
  EXPECT_THAT(message(line + "{}\n"), HasSubstr("line 2: "));
  EXPECT_THAT(message(line + "[1]\n"), HasSubstr("line 2: "));
  EXPECT_THAT(message("{\"version\":9}\n"), HasSubstr("version 9"));
  const auto second = good.substr(line.size());
  EXPECT_THAT(message(second.substr(0, second.find('\n') + 1) + line),
              HasSubstr("before the line"));
  for (const auto* field :
       {"at_ms", "prefixes", "providers", "here_id", "rtt_us", "slot_seconds",
        "budget_left_ucredits", "configured", "sure_percent", "history", "moves_to"}) {
    auto bad = line;
    const auto at = bad.find(std::string("\"") + field + "\"");
    ASSERT_NE(at, std::string::npos) << field;
    bad.insert(at + 1, "x");
    EXPECT_THAT(message(bad), HasSubstr("line 1: ")) << field;
  }
  auto negative = line;
  negative.replace(negative.find("[5000]"), 6, "[-5]");
  EXPECT_THAT(message(negative), HasSubstr("no round-trip time"));
}

}  // namespace
}  // namespace icon::simulate
