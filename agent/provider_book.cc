#include "agent/provider_book.h"

#include <algorithm>
#include <map>

namespace icon::agent {
namespace {

constexpr std::size_t kIdBeginningMin = 8;
constexpr std::size_t kNamesInMessageMax = 12;

discovery::ProviderCandidate from_policy(const ConfiguredProvider& configured) {
  discovery::ProviderCandidate candidate;
  candidate.name = configured.name;
  candidate.api = configured.api;
  candidate.source = "configured";
  if (auto id = PublicKey::from_id(configured.id)) candidate.id = *id;
  return candidate;
}

// The first hop towards one target that belongs to `domain`.
std::optional<int> first_ttl_of(const discovery::TraceResult& trace, std::string_view domain,
                                const std::map<Address, std::string>& domains) {
  for (const auto& hop : trace.hops) {
    if (!hop.address) continue;
    const auto found = domains.find(*hop.address);
    if (found != domains.end() && found->second == domain) return hop.ttl;
  }
  return std::nullopt;
}

bool same_text(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return lower(x) == lower(y);
  });
}

bool fits(const KnownProvider& provider, std::string_view target) {
  const auto& names = provider.view.names;
  return same_text(names.name, target) || same_text(names.domain, target) ||
         (target.size() >= kIdBeginningMin && names.id.starts_with(target)) ||
         provider.view.api.to_string() == target;
}

std::string known_names(const std::vector<KnownProvider>& providers) {
  if (providers.empty()) return "none";
  std::string text;
  for (std::size_t i = 0; i < providers.size() && i < kNamesInMessageMax; ++i)
    text += (i == 0 ? "" : ", ") + providers[i].view.names.name;
  return providers.size() > kNamesInMessageMax ? text + ", ..." : text;
}

}  // namespace

std::vector<discovery::ProviderCandidate> configured_providers(const Policy& policy,
                                                               const json::Array& of_host) {
  std::vector<discovery::ProviderCandidate> candidates;
  for (const auto& configured : policy.providers) candidates.push_back(from_policy(configured));
  for (const auto& item : of_host) {
    const auto* object = item.if_object();
    if (object == nullptr) continue;
    if (auto candidate = discovery::provider_from_json(*object)) {
      candidate->source = "configured";
      candidates.push_back(std::move(*candidate));
    }
  }
  return candidates;
}

namespace {

struct Traced {
  const Prefix* prefix;  // whose user was traced
  const discovery::TraceResult* trace;
};

std::vector<Traced> traced(const discovery::DiscoveryReport& report,
                           std::span<const Prefix> prefixes) {
  std::vector<Traced> found;
  for (const auto& trace : report.traces)
    for (const auto& prefix : prefixes)
      if (prefix.contains(trace.target)) {
        found.push_back({&prefix, &trace});
        break;
      }
  return found;
}

}  // namespace

std::vector<KnownProvider> known_providers(const discovery::DiscoveryReport& report,
                                           std::span<const Prefix> prefixes) {
  std::map<Address, std::string> domains;
  for (const auto& name : report.names) domains.emplace(name.address, name.domain);
  const auto paths = traced(report, prefixes);
  std::vector<KnownProvider> providers;
  for (const auto& candidate : report.providers) {
    KnownProvider known;
    known.view.names.name = candidate.name;
    known.view.names.domain = candidate.domain;
    if (candidate.id) known.view.names.id = candidate.id->id();
    known.view.names.configured = candidate.source == "configured";
    known.view.source = candidate.source;
    if (candidate.source == "dns" || candidate.source == "reverse")
      known.view.dnssec = to_string(candidate.dnssec);
    known.view.api = candidate.api;
    known.other_apis = candidate.other_apis;
    for (const auto& [prefix, trace] : paths) {
      if (candidate.domain.empty()) break;
      if (const auto ttl = first_ttl_of(*trace, candidate.domain, domains))
        known.view.on_path_ttl.emplace(*prefix, *ttl);
    }
    providers.push_back(std::move(known));
  }
  return providers;
}

std::vector<TraceView> trace_views(const discovery::DiscoveryReport& report,
                                   std::span<const Prefix> prefixes) {
  std::vector<TraceView> views;
  for (const auto& [prefix, trace] : traced(report, prefixes)) {
    TraceView view{*prefix, {}};
    for (const auto& hop : trace->hops)
      if (hop.address && hop.rtt_us_min > 0) view.hops.push_back({hop.ttl, hop.rtt_us_min});
    views.push_back(std::move(view));
  }
  return views;
}

Result<KnownProvider> find_provider(const std::vector<KnownProvider>& providers,
                                    std::string_view target) {
  std::vector<const KnownProvider*> found;
  for (const auto& provider : providers)
    if (fits(provider, target)) found.push_back(&provider);
  if (found.size() > 1)
    return fail(Code::kConflict, "'" + std::string(target) + "' fits " +
                                     std::to_string(found.size()) +
                                     " providers: name one by its id or ADDR:PORT");
  if (found.size() == 1) return *found.front();
  if (const auto endpoint = Endpoint::parse(target); endpoint && endpoint->port != 0) {
    KnownProvider stranger;
    stranger.view.names.name = endpoint->to_string();
    stranger.view.names.configured = true;  // the operator is whoever configures
    stranger.view.source = "operator";
    stranger.view.api = *endpoint;
    return stranger;
  }
  return fail(Code::kNotFound, "no provider is called '" + std::string(target) + "' (known: " +
                                   known_names(providers) + "); name one of them or an ADDR:PORT");
}

Representatives representatives(const std::vector<PrefixLatency>& prefixes, std::size_t max) {
  Representatives chosen;
  for (const auto& prefix : prefixes) {
    if (chosen.users.size() >= max) break;
    if (prefix.weight == 0) continue;
    chosen.users.push_back(prefix.representative);
    chosen.prefixes.push_back(prefix.prefix);
  }
  return chosen;
}

ReachedRtts reached_rtts(const discovery::DiscoveryReport& report,
                         std::span<const Prefix> prefixes) {
  ReachedRtts reached;
  for (const auto& [prefix, trace] : traced(report, prefixes))
    if (trace->reached && !trace->hops.empty() && trace->hops.back().rtt_us_min > 0)
      reached.emplace(*prefix, trace->hops.back().rtt_us_min);
  return reached;
}

std::vector<budget::PrefixView> prefix_views(const std::vector<PrefixLatency>& prefixes,
                                             const LatencyTable& table, int percentile,
                                             const ReachedRtts& reached) {
  std::vector<budget::PrefixView> views;
  for (const auto& prefix : prefixes) {
    budget::PrefixView view{prefix.prefix, prefix.weight,
                            table.rtt_us_at(prefix.prefix, percentile), prefix.samples};
    if (const auto probe = reached.find(prefix.prefix); probe != reached.end() && view.rtt_us > 0)
      view.rtt_us = std::min(view.rtt_us, probe->second);
    // Users without a measurement cannot speak for or against a place.
    if (view.rtt_us > 0 && view.connections > 0) views.push_back(view);
  }
  return views;
}

}  // namespace icon::agent
