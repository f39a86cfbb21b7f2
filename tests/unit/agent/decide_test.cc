#include "agent/decide.h"

#include <gtest/gtest.h>

namespace icon::agent {
namespace {

using budget::EstimateBasis;

const Prefix kFar = *Prefix::parse("198.51.100.0/24");
const Prefix kNear = *Prefix::parse("203.0.113.0/24");

// origin -- transit -- access(ttl 3, edge's) -- users of kFar; users of kNear sit beside the origin
Observations world() {
  Observations seen;
  seen.here = {"origin", "idorigin", 0, 0};
  seen.prefixes = {{kFar, 6, 80'000, 60}, {kNear, 2, 4'000, 20}};
  seen.traces = {{kFar, {{1, 1'000}, {2, 30'000}, {3, 70'000}, {4, 80'000}}},
                 {kNear, {{1, 1'000}, {2, 4'000}}}};
  seen.budget_left_ucredits = 5'000'000;
  ProviderView edge;
  edge.names = {"edge", "edge.test", "idedge", false};
  edge.source = "dns";
  edge.api = *Endpoint::parse("198.51.100.7:7946");
  edge.on_path_ttl[kFar] = 3;
  edge.connect_rtt_us = 71'000;
  edge.offer.emplace();
  edge.offer->slot_seconds = 3600;
  edge.offer->price_ucredits = 100'000;
  seen.providers = {edge};
  return seen;
}

TEST(DecisionInput, OnPathForTheirUsersViaHereForTheOthers) {
  const auto estimates = estimates_for(world().providers[0], world(), Policy());
  ASSERT_EQ(estimates.size(), 2u);
  EXPECT_EQ(estimates[0].basis, EstimateBasis::kOnPath);
  EXPECT_EQ(estimates[0].rtt_us, 11'000);
  EXPECT_EQ(estimates[1].basis, EstimateBasis::kViaHere);
  EXPECT_EQ(estimates[1].rtt_us, 75'000);
}

TEST(DecisionInput, WithoutATraceThereIsNoPath) {
  auto seen = world();
  seen.traces.clear();
  const auto estimates = estimates_for(seen.providers[0], seen, Policy());
  EXPECT_EQ(estimates[0].basis, EstimateBasis::kViaHere);
}

TEST(DecisionInput, ThePolicysWordCountsForItsUsersOnly) {
  Policy policy;
  policy.providers.push_back({"edge", "idedge", {}, 7'000, {*Prefix::parse("203.0.0.0/16")}});
  auto seen = world();
  seen.providers[0].on_path_ttl.clear();
  auto estimates = estimates_for(seen.providers[0], seen, policy);
  EXPECT_EQ(estimates[0].basis, EstimateBasis::kViaHere);
  EXPECT_EQ(estimates[1].basis, EstimateBasis::kConfigured);
  EXPECT_EQ(estimates[1].rtt_us, 7'000);
  // A part of the users' network says nothing about the rest.
  policy.providers[0].near = {*Prefix::parse("203.0.113.0/25")};
  EXPECT_EQ(estimates_for(seen.providers[0], seen, policy)[1].basis, EstimateBasis::kViaHere);
  // Another key at the same place is not the one that was meant.
  policy.providers[0] = {"edge", "idother", seen.providers[0].api, 7'000, {}};
  EXPECT_EQ(estimates_for(seen.providers[0], seen, policy)[1].basis, EstimateBasis::kViaHere);
  policy.providers[0].id.clear();
  EXPECT_EQ(estimates_for(seen.providers[0], seen, policy)[1].basis, EstimateBasis::kConfigured);
}

TEST(DecisionInput, LeadsToTheDecision) {
  Policy policy;
  policy.value_ucredits = 240'000;  // of the gain half counts, of the loss of the near users all
  policy.rounds = 2;
  policy.budget_ucredits = 5'000'000;
  const auto seen = world();
  auto decision = budget::decide(decision_input(policy, seen, {}), 1'000);
  EXPECT_FALSE(decision.move);
  EXPECT_EQ(decision.history.favourite_id, "idedge");
  decision = budget::decide(decision_input(policy, seen, decision.history), 2'000);
  EXPECT_TRUE(decision.move);
  EXPECT_EQ(decision.evidence.here_name, "origin");
  EXPECT_EQ(decision.evidence.budget_left_ucredits, 5'000'000);
}

TEST(OfferRequest, AsksForThePolicysSlotAndPrices) {
  Policy policy;
  policy.max_price_ucredits = 300'000;
  const auto key = KeyPair::generate();
  const auto request = offer_request(policy, key.id(), "seen", "n1", 700'000);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->expected_id, key.public_key());
  EXPECT_EQ(request->need, policy.slot);
  ASSERT_EQ(request->limits.size(), 2u);
  EXPECT_EQ(request->limits[0].code, "over_max_price");
  EXPECT_EQ(request->limits[1].amount, 700'000);
  EXPECT_FALSE(offer_request(policy, "", "", "n1", 1)->expected_id);
  EXPECT_EQ(offer_request(policy, "nonsense", "", "n1", 1).error().code, Code::kInvalid);
}

}  // namespace
}  // namespace icon::agent
