#include "discovery/provider_source.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "discovery/parallel.h"
#include "discovery/registrable_domain.h"
#include "discovery/service_lookup.h"

namespace icon::discovery {
namespace {

// One run of the DNS source. Lives in the frame of find(); the workers refer to it.
class DnsSearch {
 public:
  DnsSearch(Resolver& resolver, const DnsLimits& limits, Resolver* proof)
      : resolver_(resolver), limits_(limits), lookup_(resolver, limits, proof) {}

  Task<Findings> run(std::vector<PathHop> hops) {
    std::erase_if(hops, [](const PathHop& hop) { return hop.address.is_non_public(); });
    if (hops.size() > limits_.hops_max) {
      reject("hops", "only the first " + std::to_string(limits_.hops_max) + " of " +
                         std::to_string(hops.size()) + " are looked up");
      hops.resize(limits_.hops_max);
    }
    names_.resize(hops.size());
    const auto name_one = [&](std::size_t i) { return name_hop(hops[i], names_[i]); };
    co_await for_each_index(hops.size(), limits_.lookups_in_flight_max, name_one);
    choose_domains(hops);
    found_.resize(domains_.size());
    const auto ask_one = [&](std::size_t i) { return ask(domains_[i], found_[i]); };
    co_await for_each_index(domains_.size(), limits_.lookups_in_flight_max, ask_one);
    collect();
    co_return std::move(findings_);
  }

 private:
  struct Domain {
    std::string name;
    PathHop hop;  // the one nearest the users
  };

  void reject(std::string subject, std::string reason) {
    if (findings_.rejected.size() < limits_.rejections_max)
      findings_.rejected.push_back({std::move(subject), std::move(reason)});
  }

  Task<void> name_hop(const PathHop& hop, std::optional<HopName>& name) {
    auto answer = co_await resolver_.ptr(hop.address);
    if (!answer) {
      reject(hop.address.to_string(), "PTR: " + answer.error().message);
      co_return;
    }
    std::sort(answer->names.begin(), answer->names.end());
    for (const auto& candidate : answer->names) {
      auto domain = registrable_domain(candidate);
      if (!domain) continue;
      name = HopName{hop.address, candidate, std::move(*domain)};
      co_return;
    }
    if (!answer->names.empty())
      reject(hop.address.to_string(), "PTR: " + answer->names.front() + " belongs to no domain");
    for (const auto& cut : answer->cut) reject(hop.address.to_string(), "PTR: " + cut);
  }

  // `hops` and names_ run in parallel; the farthest hop comes first.
  void choose_domains(const std::vector<PathHop>& hops) {
    std::set<std::string> left_out;
    for (std::size_t i = 0; i < hops.size(); ++i) {
      if (!names_[i]) continue;
      const std::string& domain = names_[i]->domain;
      findings_.names.push_back(*names_[i]);
      const auto known = std::find_if(domains_.begin(), domains_.end(),
                                      [&](const Domain& other) { return other.name == domain; });
      if (known != domains_.end()) {
        if (hops[i].ttl > known->hop.ttl) known->hop = hops[i];
      } else if (domains_.size() < limits_.domains_max) {
        domains_.push_back({domain, hops[i]});
      } else {
        left_out.insert(domain);
      }
    }
    for (const auto& domain : left_out)
      reject(domain, "not asked: more than " + std::to_string(limits_.domains_max) + " domains");
    for (const auto& domain : domains_) findings_.domains.push_back(domain.name);
  }

  Task<void> ask(const Domain& domain, ServiceFindings& found) {
    ServiceQuestion question;
    question.subject = domain.name;
    question.owner = domain.name;
    question.hop = domain.hop;
    question.source = "dns";
    question.explain_failures = true;
    co_await lookup_.ask(std::move(question), found);
    if (found.failure) found.rejected.push_back({domain.name, "SRV: " + found.failure->message});
  }

  // In the order of the domains, so that the result does not depend on who answered first.
  void collect() {
    for (auto& found : found_) {
      for (auto& rejection : found.rejected)
        reject(std::move(rejection.subject), std::move(rejection.reason));
      for (auto& provider : found.providers) {
        if (findings_.providers.size() < limits_.providers_max) {
          findings_.providers.push_back(std::move(provider));
        } else {
          reject(provider.name,
                 "more than " + std::to_string(limits_.providers_max) + " providers");
        }
      }
    }
    merge_providers(findings_.providers, findings_.rejected);
  }

  Resolver& resolver_;
  const DnsLimits& limits_;
  ServiceLookup lookup_;
  Findings findings_;
  std::vector<std::optional<HopName>> names_;
  std::vector<Domain> domains_;
  std::vector<ServiceFindings> found_;
};

}  // namespace

Task<Findings> DnsProviderSource::find(Surroundings around) {
  DnsSearch search(resolver_, limits_, proof_);
  co_return co_await search.run(std::move(around.hops));
}

Task<Findings> ConfiguredProviderSource::find(Surroundings /*around*/) {
  Findings findings;
  findings.providers = providers_;
  for (auto& provider : findings.providers) provider.source = "configured";
  co_return findings;
}

}  // namespace icon::discovery
