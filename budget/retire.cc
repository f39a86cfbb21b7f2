#include "budget/retire.h"

#include <fmt/format.h>

#include <algorithm>

namespace icon::budget {
namespace {

// The head of the evidence: what `icon explain` begins with.
Evidence evidence_of(const RetireInput& input, const ValueCurve& curve, UtcMillis now_ms) {
  Evidence evidence;
  evidence.decided_ms = now_ms;
  evidence.here_name = input.here_name;
  evidence.here_id = input.here_id;
  evidence.objective_us = curve.objective_us;
  evidence.zero_us = curve.zero_us;
  evidence.percentile = input.policy.percentile;
  evidence.horizon_ms = input.policy.horizon_ms;
  evidence.value_per_connection_hour_ucredits = input.policy.value_per_connection_hour_ucredits;
  evidence.margin_ucredits = input.policy.margin_ucredits;
  evidence.rounds_needed = input.policy.rounds;
  evidence.prefixes_total = static_cast<std::int64_t>(input.prefixes.size());
  evidence.candidates_total = 1;
  evidence.here_price_ucredits = price_over_horizon(
      input.price_ucredits, slots_for(input.policy.horizon_ms, input.slot_seconds));
  return evidence;
}

}  // namespace

RetireDecision retire(const RetireInput& input, UtcMillis now_ms) {
  const auto& policy = input.policy;
  const auto curve = make_value_curve(policy.objective_us,
                                      policy.value_per_connection_hour_ucredits, policy.horizon_ms);
  RetireDecision decision;
  auto& evidence = decision.evidence = evidence_of(input, curve, now_ms);
  EvidenceCandidate parent;
  parent.name = input.parent_name.empty() ? "the parent" : input.parent_name;
  parent.source = "parent";
  parent.scored = true;
  MicroCredits earned = 0;
  for (std::size_t i = 0; i < input.prefixes.size(); ++i) {
    const auto& prefix = input.prefixes[i];
    const auto there =
        i < input.parent_rtt_us.size() ? input.parent_rtt_us[i] : std::optional<std::int64_t>();
    const auto here_value = demand_value(curve, prefix.connections, prefix.rtt_us);
    const auto there_value = demand_value(curve, prefix.connections, there);
    evidence.connections_total =
        saturating_add(evidence.connections_total, std::max<std::int64_t>(0, prefix.connections));
    evidence.here_value_ucredits = saturating_add(evidence.here_value_ucredits, here_value);
    parent.value_ucredits = saturating_add(parent.value_ucredits, there_value);
    earned = saturating_add(earned, std::max<MicroCredits>(0, here_value - there_value));
    if (i >= kEvidencePrefixesMax) continue;
    evidence.prefixes.push_back(
        {prefix.prefix.to_string(), prefix.connections, prefix.rtt_us, prefix.samples, here_value});
    parent.estimates.push_back(
        {prefix.prefix.to_string(),
         {there ? EstimateBasis::kDelivered : EstimateBasis::kNone, there, kCertain, {}},
         there_value});
  }
  const auto price = evidence.here_price_ucredits;
  const bool pays = earned > 0 && earned >= price;
  decision.rounds_lost =
      pays ? 0 : std::clamp<std::int64_t>(input.rounds_lost, 0, kRoundsWonMax) + 1;
  const auto until = input.born_ms + policy.cooldown_ms;
  const bool is_young = now_ms < until && input.born_ms <= now_ms;
  decision.end = !pays && decision.rounds_lost >= policy.rounds && !is_young;
  evidence.rounds_won = decision.rounds_lost;
  evidence.outcome = decision.end ? "end" : "stay";
  evidence.reason = pays           ? "earns_its_price"
                    : decision.end ? "not_worth_it"
                    : is_young     ? "cooldown"
                                   : "rounds";
  evidence.message = fmt::format(
      "{}: the replica adds {} micro-credits over the horizon for {} connections, and costs {}",
      decision.end ? "the replica ends" : "the replica stays", earned, evidence.connections_total,
      price);
  parent.verdict = pays ? Verdict::kLost : Verdict::kWon;
  parent.reason = pays ? "outbid" : "won";
  parent.gain_ucredits = -earned;
  parent.net_ucredits = saturating_add(price, -earned);
  parent.message =
      fmt::format("its users would lose {} micro-credits there, and {} were saved", earned, price);
  if (pays)
    evidence.would_change.push_back(
        {"winner_price_over", evidence.here_name, earned,
         fmt::format("at a price over {} micro-credits for the horizon, it would end", earned)});
  evidence.candidates.push_back(std::move(parent));
  return decision;
}

}  // namespace icon::budget
