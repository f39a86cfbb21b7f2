#include "discovery/discovery.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace icon::discovery {
namespace {

Micros since(const Clock& clock, SteadyTime begin) {
  return std::chrono::duration_cast<Micros>(clock.steady() - begin);
}

// Says no more than `rejections_max` things, and that there were more.
void add_rejections(std::vector<Rejection>& to, std::vector<Rejection> from, std::size_t max) {
  for (auto& rejection : from) {
    if (to.size() >= max) return;
    if (std::find(to.begin(), to.end(), rejection) == to.end()) to.push_back(std::move(rejection));
  }
}

std::vector<Address> choose_targets(const std::vector<Address>& targets, std::size_t targets_max,
                                    std::vector<Rejection>& rejected) {
  std::vector<Address> chosen;
  std::set<Address> seen;
  std::size_t left_out = 0;
  for (const Address& target : targets) {
    if (!seen.insert(target).second) continue;
    if (target.is_non_public()) {
      rejected.push_back({target.to_string(), "not traced: not a public address"});
    } else if (chosen.size() == targets_max) {
      ++left_out;
    } else {
      chosen.push_back(target);
    }
  }
  if (left_out > 0)
    rejected.push_back({"targets", std::to_string(left_out) + " not traced: more than " +
                                       std::to_string(targets_max)});
  return chosen;
}

struct RunningFlag {
  explicit RunningFlag(bool& flag) : flag_(flag) { flag_ = true; }
  ~RunningFlag() { flag_ = false; }
  RunningFlag(const RunningFlag&) = delete;
  RunningFlag& operator=(const RunningFlag&) = delete;

 private:
  bool& flag_;
};

// Leaves no socket open, whatever ends the run.
struct ResolverCloser {
  Resolver& resolver;
  ~ResolverCloser() { resolver.close(); }
};

}  // namespace

std::vector<PathHop> path_hops(const std::vector<TraceResult>& traces,
                               const std::vector<RouterSeen>& routers) {
  std::map<Address, PathHop> hops;
  const auto add = [&hops](const Address& address, int ttl, std::int64_t rtt_us) {
    if (address.is_non_public()) return;
    auto& known = hops[address];
    known.address = address;
    known.ttl = std::max(known.ttl, ttl);
    if (rtt_us > 0 && (known.rtt_us == 0 || rtt_us < known.rtt_us)) known.rtt_us = rtt_us;
  };
  for (const auto& trace : traces)
    for (const auto& hop : trace.hops)
      if (hop.address) add(*hop.address, hop.ttl, hop.rtt_us_min);
  for (const auto& router : routers) add(router.address, router.ttl_max, router.rtt_us_min);
  std::vector<PathHop> ordered;
  for (const auto& [address, hop] : hops) ordered.push_back(hop);
  std::stable_sort(ordered.begin(), ordered.end(),
                   [](const PathHop& a, const PathHop& b) { return a.rtt_us > b.rtt_us; });
  return ordered;
}

Task<Result<DiscoveryReport>> Discovery::run(std::vector<Address> targets) {
  if (running_) co_return fail(Code::kConflict, "discovery: a run is under way");
  const RunningFlag flag(running_);
  const ResolverCloser closer{resolver_};
  const SteadyTime begin = clock_.steady();
  DiscoveryReport report;
  const auto chosen = choose_targets(targets, limits_.targets_max, report.rejected);
  report.targets = chosen.size();
  if (!chosen.empty()) {
    TraceLimits limits = limits_.trace;
    limits.deadline = std::max(Millis(1), std::min(limits.deadline, limits_.deadline / 2));
    auto traced = co_await tracer_.trace(chosen, limits);
    if (traced) {
      report.traces = std::move(traced->traces);
      report.routers = std::move(traced->routers);
      report.probes_sent = traced->probes_sent;
    } else {
      report.rejected.push_back({"trace", traced.error().message});
    }
  }
  report.timings.trace = since(clock_, begin);
  report.hops = path_hops(report.traces, report.routers);

  const SteadyTime names_begin = clock_.steady();
  const auto spent = std::chrono::duration_cast<Millis>(names_begin - begin);
  resolver_.start_budget(std::max(Millis(1), limits_.deadline - spent));
  for (ProviderSource* source : sources_) {
    Surroundings around(report.hops, chosen);
    Findings found = co_await source->find(std::move(around));
    std::move(found.providers.begin(), found.providers.end(), std::back_inserter(report.providers));
    std::move(found.names.begin(), found.names.end(), std::back_inserter(report.names));
    std::move(found.domains.begin(), found.domains.end(), std::back_inserter(report.domains));
    add_rejections(report.rejected, std::move(found.rejected), limits_.rejections_max);
  }
  std::stable_partition(report.providers.begin(), report.providers.end(),
                        [](const auto& provider) { return provider.source == "configured"; });
  std::vector<Rejection> unmerged;
  merge_providers(report.providers, unmerged);
  add_rejections(report.rejected, std::move(unmerged), limits_.rejections_max);
  report.timings.names = since(clock_, names_begin);
  report.timings.total = since(clock_, begin);
  co_return report;
}

std::optional<std::int64_t> DiscoveryReport::on_path_rtt_us(const Address& target,
                                                            std::string_view domain) const {
  const auto trace = std::find_if(traces.begin(), traces.end(),
                                  [&](const auto& one) { return one.target == target; });
  if (trace == traces.end()) return std::nullopt;
  for (auto hop = trace->hops.rbegin(); hop != trace->hops.rend(); ++hop) {
    if (!hop->address) continue;
    const auto name = std::find_if(names.begin(), names.end(), [&](const HopName& one) {
      return one.address == *hop->address;
    });
    if (name == names.end() || name->domain != domain) continue;
    if (hop->rtt_us_min > 0) return hop->rtt_us_min;
    // Silent towards this target: what other traces measured to the same router.
    const auto known = std::find_if(
        hops.begin(), hops.end(), [&](const PathHop& one) { return one.address == *hop->address; });
    if (known != hops.end() && known->rtt_us > 0) return known->rtt_us;
  }
  return std::nullopt;
}

json::Object DiscoveryReport::to_json(std::size_t traces_max) const {
  json::Array trace_list;
  for (const auto& trace : traces) {
    if (trace_list.size() == traces_max) break;
    json::Array hop_list;
    for (const auto& hop : trace.hops) {
      hop_list.push_back(
          json::Object{{"ttl", hop.ttl},
                       {"address", hop.address ? hop.address->to_string() : std::string()},
                       {"rtt_us", hop.rtt_us_min},
                       {"probes", hop.probes},
                       {"inferred", hop.inferred},
                       {"balanced", hop.balanced},
                       {"back_hops", hop.back_hops}});
    }
    trace_list.push_back(json::Object{{"target", trace.target.to_string()},
                                      {"method", to_string(trace.method)},
                                      {"reached", trace.reached},
                                      {"note", trace.note},
                                      {"hops", std::move(hop_list)}});
  }
  json::Array name_list;
  for (const auto& name : names)
    name_list.push_back(json::Object{
        {"address", name.address.to_string()}, {"name", name.name}, {"domain", name.domain}});
  json::Array domain_list;
  for (const auto& domain : domains) domain_list.push_back(json::Value(domain));
  json::Array provider_list;
  for (const auto& provider : providers) provider_list.push_back(provider.to_json());
  json::Array rejected_list;
  for (const auto& rejection : rejected) rejected_list.push_back(rejection.to_json());
  return {{"traces", std::move(trace_list)},
          {"routers_found", static_cast<std::int64_t>(routers.size())},
          {"names", std::move(name_list)},
          {"domains", std::move(domain_list)},
          {"providers", std::move(provider_list)},
          {"rejected", std::move(rejected_list)},
          {"probes_sent", static_cast<std::int64_t>(probes_sent)},
          {"timings_us", json::Object{{"trace", std::int64_t{timings.trace.count()}},
                                      {"names", std::int64_t{timings.names.count()}},
                                      {"total", std::int64_t{timings.total.count()}}}}};
}

}  // namespace icon::discovery
