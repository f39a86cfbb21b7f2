// From what the agent has seen to the input of budget::decide. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/policy.h"
#include "budget/decision.h"

namespace icon::agent {

// One trace towards a representative user of a prefix.
struct TraceView {
  Prefix prefix;
  std::vector<budget::HopRtt> hops;
};

// What the ICON's users had at a provider when it was there.
struct DeliveredView {
  std::int64_t rtt_us = 0;
  std::int64_t age_ms = 0;
};

struct ProviderView {
  budget::ProviderNames names;
  std::string source;  // "dns", "configured", "operator"
  std::string dnssec;  // what proves its records: "secure", "insecure", "unchecked"; empty: none
  Endpoint api;
  std::map<Prefix, int> on_path_ttl;  // the first hop of the provider's domain towards a prefix
  std::optional<std::int64_t> connect_rtt_us;
  std::map<Prefix, std::int64_t> measured_rtt_us;  // by the provider's own ping
  std::map<Prefix, DeliveredView> delivered;
  std::int64_t trust = budget::kCertain;  // percent: how far it kept its promises
  std::optional<wire::Offer> offer;
  std::optional<budget::Rejection> rejection;
};

struct HereView {
  std::string name;
  std::string id;                         // the present supervisor
  wire::MicroCredits price_ucredits = 0;  // of the lease that runs; 0: none
  std::int64_t slot_seconds = 0;
};

struct Observations {
  HereView here;
  std::vector<budget::PrefixView> prefixes;
  std::vector<TraceView> traces;
  std::vector<ProviderView> providers;
  wire::MicroCredits budget_left_ucredits = 0;
};

// Everybody who is connected is served well: then nobody is asked for a price. A budget that must
// last is another matter: a place that costs something is looked at again.
bool nothing_to_ask(const std::vector<budget::PrefixView>& prefixes, const HereView& here,
                    const Policy& policy);
// One estimate per prefix of `observations`, in its order.
std::vector<budget::RttEstimate> estimates_for(const ProviderView& provider,
                                               const Observations& observations,
                                               const Policy& policy);
budget::DecisionInput decision_input(const Policy& policy, const Observations& observations,
                                     const budget::DecisionHistory& history);
// What an offer of this provider must keep to. `expected_id` empty: whoever answers.
// Errors: kInvalid when expected_id is no id.
Result<budget::OfferRequest> offer_request(const Policy& policy, const std::string& expected_id,
                                           const std::string& observed_id, const std::string& nonce,
                                           wire::MicroCredits budget_left_ucredits);

}  // namespace icon::agent
