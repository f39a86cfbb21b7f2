#include "agent/status_report.h"

#include <algorithm>

namespace icon::agent {
namespace {

json::Array prefixes_json(const std::vector<PrefixLatency>& prefixes) {
  json::Array array;
  for (const auto& prefix : prefixes) {
    if (array.size() >= kStatusPrefixesMax) break;
    json::Object entry{{"prefix", prefix.prefix.to_string()},
                       {"user", prefix.representative.to_string()},
                       {"connections", prefix.connections},
                       {"weight", prefix.weight},
                       {"samples", prefix.samples}};
    // Without samples the figures are absent: better than a zero that looks like one.
    if (prefix.samples > 0) {
      entry["rtt_us_p50"] = prefix.rtt_us_p50;
      entry["rtt_us_p95"] = prefix.rtt_us_p95;
    }
    array.push_back(std::move(entry));
  }
  return array;
}

std::string_view state_of(const ProviderView& view) {
  if (!view.rejection) return view.offer ? "offered" : "known";
  return view.rejection->code == "unreachable" ? "unreachable" : "rejected";
}

json::Object provider_json(const KnownProvider& provider, const StatusInput& input) {
  const auto& view = provider.view;
  json::Object entry{{"name", view.names.name},
                     {"id", view.names.id},
                     {"domain", view.names.domain},
                     {"api", view.api.to_string()},
                     {"source", view.source},
                     {"dnssec", view.dnssec},
                     {"state", state_of(view)},
                     {"reason", view.rejection ? view.rejection->code : ""},
                     {"message", view.rejection ? view.rejection->message : ""}};
  if (view.offer) entry["price_ucredits"] = view.offer->price_ucredits;
  for (const auto& [id, rtt_us] : input.estimates_us)
    if (id == view.names.id) entry["rtt_us_estimate"] = rtt_us;
  return entry;
}

}  // namespace

json::Object status_json(const StatusInput& input) {
  json::Object status{{"lifecycle", to_string(input.lifecycle)},
                      {"held", input.held},
                      {"epoch", input.epoch},
                      {"prefixes", prefixes_json(input.prefixes)}};
  if (input.policy != nullptr) status["policy"] = input.policy->to_json();
  json::Array providers;
  if (input.providers != nullptr)
    for (const auto& provider : *input.providers)
      if (providers.size() < kStatusProvidersMax)
        providers.push_back(provider_json(provider, input));
  status["providers"] = std::move(providers);
  if (input.purse)
    status["purse"] = json::Object{{"budget_ucredits", input.purse->budget_ucredits},
                                   {"held_ucredits", input.purse->held_ucredits},
                                   {"spent_ucredits", input.purse->spent_ucredits},
                                   {"alert_percent", input.purse->alert_percent},
                                   {"shared_ucredits", input.purse->shared_ucredits}};
  status["family"] = input.family;
  status["warnings"] = input.warnings;
  if (!input.dns.empty()) status["dns"] = input.dns;
  status["record"] = input.record;
  status["leases"] = input.leases;
  status["decision"] = input.decision;
  status["bids"] = input.bids;
  return status;
}

budget::Evidence operator_refusal(const Policy& policy, std::string_view target,
                                  const std::string& why, const std::string& here_name,
                                  const std::string& here_id, UtcMillis now_ms) {
  budget::Evidence evidence;
  evidence.decided_ms = now_ms;
  evidence.outcome = "stay";
  evidence.reason = "operator";
  evidence.message = why;
  evidence.to_name = target;
  evidence.here_name = here_name;
  evidence.here_id = here_id;
  evidence.objective_us = policy.objective_us;
  evidence.percentile = policy.percentile;
  evidence.horizon_ms = policy.horizon_ms;
  return evidence;
}

budget::Evidence operator_evidence(const Policy& policy, const KnownProvider& provider,
                                   std::string_view target, const std::string& here_name,
                                   const std::string& here_id,
                                   wire::MicroCredits budget_left_ucredits, UtcMillis now_ms) {
  const auto& view = provider.view;
  const std::string wish = "the operator asked for a move to '" + std::string(target) + "'";
  auto evidence = operator_refusal(policy, target, wish, here_name, here_id, now_ms);
  evidence.outcome = view.rejection ? "stay" : "move";
  evidence.to_name = view.names.name;
  evidence.to_id = view.names.id;
  evidence.budget_left_ucredits = budget_left_ucredits;
  evidence.candidates_total = 1;

  budget::EvidenceCandidate candidate;
  candidate.name = view.names.name;
  candidate.id = view.names.id;
  candidate.domain = view.names.domain;
  candidate.source = view.source;
  candidate.verdict = view.rejection ? budget::Verdict::kRejected : budget::Verdict::kWon;
  candidate.reason = view.rejection ? view.rejection->code : "won";
  candidate.message = view.rejection ? view.rejection->message : "chosen by the operator";
  if (view.offer) candidate.price_ucredits = view.offer->price_ucredits;
  evidence.candidates.push_back(std::move(candidate));
  return evidence;
}

json::Object decision_figures(const budget::Evidence& evidence) {
  json::Object figures{{"decided_ms", evidence.decided_ms},
                       {"outcome", evidence.outcome},
                       {"reason", evidence.reason},
                       {"to_name", evidence.to_name}};
  // Of the place that was chosen; else of the best that was not.
  const auto chosen =
      std::find_if(evidence.candidates.begin(), evidence.candidates.end(), [&](const auto& each) {
        return evidence.to_id.empty() ? each.scored : each.id == evidence.to_id;
      });
  if (chosen == evidence.candidates.end()) return figures;
  const auto or_null = [](const std::optional<std::int64_t>& value) {
    return value ? json::Value(*value) : json::Value(nullptr);
  };
  figures["best_name"] = chosen->name;
  figures["saved_us"] = or_null(chosen->saved_us);
  figures["cost_per_ms_ucredits"] = or_null(chosen->cost_per_ms_ucredits);
  figures["payback_ms"] = or_null(chosen->payback_ms);
  return figures;
}

std::vector<std::pair<std::string, std::int64_t>> estimates_of(const budget::Evidence& evidence) {
  std::vector<std::pair<std::string, std::int64_t>> estimates;
  for (const auto& candidate : evidence.candidates)
    if (!candidate.estimates.empty() && candidate.estimates.front().estimate.rtt_us)
      estimates.emplace_back(candidate.id, *candidate.estimates.front().estimate.rtt_us);
  return estimates;
}

}  // namespace icon::agent
