// A small world for decisions: who its users are, and candidates with their offers.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "budget/decision.h"

namespace icon::budget {

inline constexpr UtcMillis kNow = 1'700'000'000'000;

// Six users far away in one network, two near in another; a connection is worth 60000 an hour up
// to 20 ms, 0 from 80 ms. Being here is worth 6*0 + 2*60000 = 120000.
inline DecisionInput world() {
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

inline Candidate candidate(const std::string& name, MicroCredits price,
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

inline const EvidenceCandidate& of(const Decision& decision, const std::string& name) {
  for (const auto& entry : decision.evidence.candidates)
    if (entry.name == name) return entry;
  ADD_FAILURE() << "no evidence for " << name;
  return decision.evidence.candidates.at(0);
}

inline std::optional<WouldChange> change(const Decision& decision, const std::string& code,
                                         const std::string& provider = {}) {
  for (const auto& entry : decision.evidence.would_change)
    if (entry.code == code && (provider.empty() || entry.provider == provider)) return entry;
  return std::nullopt;
}

}  // namespace icon::budget
