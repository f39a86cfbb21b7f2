// The providers that an ICON knows at one moment: what discovery found, what the policy and the
// host name, what they answered. Pure.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/decide.h"
#include "agent/latency_table.h"
#include "agent/policy.h"
#include "discovery/discovery.h"
#include "wire/envelope.h"

namespace icon::agent {

struct KnownProvider {
  ProviderView view;
  std::vector<Endpoint> other_apis;     // tried in turn when the first does not answer
  std::optional<wire::Envelope> offer;  // as it was signed; set with view.offer
};

// The policy's list first: it is the ICON's own word; then what the host configured. An entry of
// the host that is no provider is left out.
std::vector<discovery::ProviderCandidate> configured_providers(const Policy& policy,
                                                               const json::Array& of_host);

// `prefixes`: what the traced users stand for. A trace to somebody else is left out; not every
// prefix has one (private users are not traced).
std::vector<KnownProvider> known_providers(const discovery::DiscoveryReport& report,
                                           std::span<const Prefix> prefixes);
std::vector<TraceView> trace_views(const discovery::DiscoveryReport& report,
                                   std::span<const Prefix> prefixes);

// The operator's word for a provider: its name, domain, id (or a unique beginning of at least 8
// characters) or ADDR:PORT. Errors: kNotFound, kConflict (several fit); the message names those
// that are known.
Result<KnownProvider> find_provider(const std::vector<KnownProvider>& providers,
                                    std::string_view target);

// The users that stand for the prefixes that matter, most weight first.
struct Representatives {
  std::vector<Address> users;
  std::vector<Prefix> prefixes;
  bool operator==(const Representatives&) const = default;
};
Representatives representatives(const std::vector<PrefixLatency>& prefixes, std::size_t max);

// RTT to the user who stands for a prefix, where the trace reached him.
using ReachedRtts = std::map<Prefix, std::int64_t>;
ReachedRtts reached_rtts(const discovery::DiscoveryReport& report,
                         std::span<const Prefix> prefixes);

// What decide() sees of the users. The RTT is the smaller one of what the connections and the
// trace show: the connections of a user who pauses after each answer have his delayed
// acknowledgements in their RTT, and a probe has not.
std::vector<budget::PrefixView> prefix_views(const std::vector<PrefixLatency>& prefixes,
                                             const LatencyTable& table, int percentile,
                                             const ReachedRtts& reached);

}  // namespace icon::agent
