#include "budget/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "budget/decision.h"

namespace icon::budget {
namespace {

using testing::Contains;
using testing::HasSubstr;

constexpr UtcMillis kNow = 1'700'000'000'000;

DecisionInput world() {
  DecisionInput input;
  input.here_name = "origin";
  input.prefixes = {{*Prefix::parse("198.51.100.0/24"), 6, 80'000, 60}};
  input.policy.value_per_connection_hour_ucredits = 60'000;
  input.policy.rounds = 1;
  input.budget_left_ucredits = 5'000'000;
  Candidate edge;
  edge.names = {"edge", "edge.test", "idedge", false};
  edge.offer.emplace();
  edge.offer->price_ucredits = 100'000;
  edge.offer->slot_seconds = 3600;
  edge.estimates = {{EstimateBasis::kOnPath, 5'000}};
  Candidate liar;
  liar.names = {"liar", "liar.test", "", false};
  liar.rejection = key_mismatch("aaaaaaaa", "bbbbbbbb");
  Candidate dear = edge;
  dear.names = {"dear", "dear.test", "iddear", false};
  dear.offer->price_ucredits = 900'000;
  input.candidates = {edge, liar, dear};
  return input;
}

TEST(Explain, SaysWhatWasSeenWhoWonWhoLostAndWhatWouldHaveChangedIt) {
  const auto lines = render_evidence(decide(world(), kNow).evidence.to_json());
  EXPECT_THAT(lines, Contains(HasSubstr("Decided 2023-11-14 22:13:20 UTC: move to edge")));
  EXPECT_THAT(lines, Contains(HasSubstr("198.51.100.0/24: 6 connections at 80.0 ms")));
  EXPECT_THAT(lines,
              Contains(HasSubstr("edge (edge.test), key idedge, 0.1 credits for a slot: won")));
  EXPECT_THAT(lines,
              Contains(HasSubstr("198.51.100.0/24 would be at 5.0 ms (it is on their path)")));
  EXPECT_THAT(lines, Contains(HasSubstr("liar (liar.test): rejected [key_mismatch]: its name "
                                        "announces the key aaaaaaaa, but bbbbbbbb answered")));
  EXPECT_THAT(lines, Contains(HasSubstr("Saves 75.0 ms for each connection, at 0.001333 credits a "
                                        "millisecond; a slot has paid for itself after 1000.")));
  EXPECT_THAT(lines, Contains(HasSubstr("rejected [too_dear]: too dear: 900000 > 360000")));
  EXPECT_THAT(lines, Contains(HasSubstr("at a price over 359999 micro-credits for a slot, edge")));
  EXPECT_THAT(lines, Contains(HasSubstr("of 99999 micro-credits or less for a slot, dear would")));
}

TEST(Explain, AnOperatorsOrderIsNotWeighed) {
  Evidence evidence;
  evidence.decided_ms = kNow;
  evidence.message = "the operator asked for a move to 'edge'";
  EvidenceCandidate edge;
  edge.name = "edge";
  edge.verdict = Verdict::kWon;
  edge.reason = "won";
  edge.message = "chosen by the operator";
  evidence.candidates.push_back(edge);
  EXPECT_THAT(render_evidence(evidence.to_json()),
              testing::ElementsAre(
                  "Decided 2023-11-14 22:13:20 UTC: the operator asked for a move to 'edge'.",
                  "edge: won [won]: chosen by the operator."));
}

TEST(Explain, ReadsBackAllThatIsWritten) {
  const auto evidence = decide(world(), kNow).evidence;
  EXPECT_EQ(render_evidence(evidence.to_json()), render_evidence(evidence));
}

TEST(Explain, StrangersCannotWriteOnTheTerminal) {
  auto input = world();
  input.candidates[0].names.name =
      "evil\x1b[2J\xc2\x9b"
      "31m\n";
  for (const auto& line : render_evidence(decide(input, kNow).evidence.to_json())) {
    EXPECT_EQ(line.find('\x1b'), std::string::npos);
    EXPECT_EQ(line.find('\n'), std::string::npos);
    EXPECT_EQ(line.find("\xc2\x9b"), std::string::npos);
  }
}

TEST(Explain, WhatIsNoEvidenceSaysSo) {
  EXPECT_THAT(render_evidence(json::Object{}), Contains(HasSubstr("cannot be read")));
  auto object = decide(world(), kNow).evidence.to_json();
  object["version"] = 2;
  EXPECT_THAT(render_evidence(object), Contains(HasSubstr("version 2")));
  // Every field away, once: never a crash, always the field's name.
  const auto good = decide(world(), kNow).evidence.to_json();
  for (const auto& entry : good) {
    // Older evidence knows no budget that must last.
    if (entry.key() == "affordable_ucredits" || entry.key() == "money_weight_permille") continue;
    auto bad = good;
    bad.erase(entry.key());
    const auto lines = render_evidence(bad);
    ASSERT_EQ(lines.size(), 1u) << entry.key();
    EXPECT_THAT(lines[0], HasSubstr(std::string(entry.key())));
  }
}

TEST(Explain, ExtremeNumbers) {
  auto object = decide(world(), kNow).evidence.to_json();
  for (auto& entry : object)
    if (entry.value().is_int64() && entry.key() != "version")
      for (const auto value : {INT64_MAX, -INT64_MAX}) {
        entry.value() = value;
        EXPECT_FALSE(render_evidence(object).empty());
      }
}

}  // namespace
}  // namespace icon::budget
