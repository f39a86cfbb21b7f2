#include "agent/decide.h"

#include <algorithm>

namespace icon::agent {
namespace {

template <class Value>
std::optional<Value> find(const std::map<Prefix, Value>& map, const Prefix& prefix) {
  const auto found = map.find(prefix);
  return found == map.end() ? std::nullopt : std::optional<Value>(found->second);
}

// The policy's own word about a provider, by id where it gives one.
const ConfiguredProvider* configured(const ProviderView& provider, const Policy& policy) {
  const auto found =
      std::find_if(policy.providers.begin(), policy.providers.end(), [&](const auto& candidate) {
        if (!candidate.id.empty()) return candidate.id == provider.names.id;
        return candidate.api == provider.api;
      });
  return found == policy.providers.end() ? nullptr : &*found;
}

std::optional<std::int64_t> configured_rtt(const ConfiguredProvider* provider,
                                           const Prefix& prefix) {
  if (provider == nullptr || !provider->rtt_us) return std::nullopt;
  const bool near =
      provider->near.empty() ||
      std::any_of(provider->near.begin(), provider->near.end(), [&](const Prefix& block) {
        return block.length <= prefix.length && block.contains(prefix.address);
      });
  return near ? provider->rtt_us : std::nullopt;
}

}  // namespace

bool nothing_to_ask(const std::vector<budget::PrefixView>& prefixes, const HereView& here,
                    const Policy& policy) {
  if (policy.budget_lasts_ms > 0 && here.price_ucredits > 0) return false;
  return std::all_of(prefixes.begin(), prefixes.end(),
                     [&](const auto& prefix) { return prefix.rtt_us <= policy.objective_us; });
}

std::vector<budget::RttEstimate> estimates_for(const ProviderView& provider,
                                               const Observations& observations,
                                               const Policy& policy) {
  const auto* const known = configured(provider, policy);
  std::vector<budget::RttEstimate> estimates;
  for (const auto& view : observations.prefixes) {
    budget::EstimateInput input;
    input.user_rtt_us = view.rtt_us;
    const auto trace =
        std::find_if(observations.traces.begin(), observations.traces.end(),
                     [&](const TraceView& candidate) { return candidate.prefix == view.prefix; });
    if (trace != observations.traces.end()) {
      input.hops = trace->hops;
      input.provider_ttl = find(provider.on_path_ttl, view.prefix);
    }
    input.provider_connect_rtt_us = provider.connect_rtt_us;
    input.configured_rtt_us = configured_rtt(known, view.prefix);
    input.measured_rtt_us = find(provider.measured_rtt_us, view.prefix);
    input.trust = provider.trust;
    if (const auto delivered = provider.delivered.find(view.prefix);
        delivered != provider.delivered.end()) {
      input.delivered_rtt_us = delivered->second.rtt_us;
      input.delivered_age_ms = delivered->second.age_ms;
    }
    estimates.push_back(budget::estimate_rtt(input));
  }
  return estimates;
}

budget::DecisionInput decision_input(const Policy& policy, const Observations& observations,
                                     const budget::DecisionHistory& history) {
  budget::DecisionInput input;
  input.here_name = observations.here.name;
  input.here_id = observations.here.id;
  input.here_price_ucredits = observations.here.price_ucredits;
  input.here_slot_seconds = observations.here.slot_seconds;
  input.prefixes = observations.prefixes;
  input.policy = policy.decision_policy();
  input.budget_left_ucredits = observations.budget_left_ucredits;
  input.history = history;
  for (const auto& provider : observations.providers)
    input.candidates.push_back({provider.names, provider.source, provider.offer, provider.rejection,
                                estimates_for(provider, observations, policy)});
  return input;
}

Result<budget::OfferRequest> offer_request(const Policy& policy, const std::string& expected_id,
                                           const std::string& observed_id, const std::string& nonce,
                                           wire::MicroCredits budget_left_ucredits) {
  budget::OfferRequest request;
  if (!expected_id.empty()) {
    ICON_TRY(request.expected_id, PublicKey::from_id(expected_id));
  }
  request.observed_id = observed_id;
  request.nonce = nonce;
  request.need = policy.slot;
  request.slot_seconds = policy.slot_seconds;
  request.residency = policy.residency;
  if (policy.max_price_ucredits)
    request.limits.push_back(budget::max_price_limit(*policy.max_price_ucredits));
  request.limits.push_back(budget::budget_limit(budget_left_ucredits));
  return request;
}

}  // namespace icon::agent
