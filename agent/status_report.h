// What the agent tells its supervisor about itself, for `icon ps`, `icon providers` and
// `icon explain`. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/lifecycle.h"
#include "agent/policy.h"
#include "agent/provider_book.h"
#include "agent/wallet.h"
#include "budget/evidence.h"

namespace icon::agent {

// Of a large world the status shows the heaviest part.
inline constexpr std::size_t kStatusPrefixesMax = 64;
inline constexpr std::size_t kStatusProvidersMax = 64;

struct StatusInput {
  State lifecycle = State::kStart;
  bool held = false;
  std::int64_t epoch = 0;
  const Policy* policy = nullptr;
  std::vector<PrefixLatency> prefixes;
  const std::vector<KnownProvider>* providers = nullptr;
  // The last decision's estimates per provider id, for the heaviest prefix.
  std::vector<std::pair<std::string, std::int64_t>> estimates_us;
  std::optional<Wallet::Totals> purse;
  json::Array record;     // of promises, a row for each provider
  json::Object decision;  // the last one, in figures
  json::Array bids;       // sealed ones, the newest last
  json::Array leases;     // a row for each that this ICON has held
  json::Object family;    // parent and children
  json::Array warnings;   // sentences
  json::Object dns;       // the service's name, if the policy says that it is kept
};
// The body of PUT /v1/self/status.
json::Object status_json(const StatusInput& input);

// Evidence of a move that was not decided but commanded.
budget::Evidence operator_evidence(const Policy& policy, const KnownProvider& provider,
                                   std::string_view target, const std::string& here_name,
                                   const std::string& here_id,
                                   wire::MicroCredits budget_left_ucredits, UtcMillis now_ms);
// The same for an order that came to nothing before anybody was asked.
budget::Evidence operator_refusal(const Policy& policy, std::string_view target,
                                  const std::string& why, const std::string& here_name,
                                  const std::string& here_id, UtcMillis now_ms);
// The last decision for a status: what it is about, and what it costs and saves.
json::Object decision_figures(const budget::Evidence& evidence);
// Estimates of the heaviest prefix out of a decision's evidence.
std::vector<std::pair<std::string, std::int64_t>> estimates_of(const budget::Evidence& evidence);

}  // namespace icon::agent
