#include "discovery/provider_source.h"

#include <algorithm>
#include <optional>
#include <random>
#include <set>
#include <utility>

#include "discovery/parallel.h"
#include "discovery/registrable_domain.h"

namespace icon::discovery {
namespace {

constexpr std::string_view kService = "_icon._tcp.";

// One run of the DNS source. Lives in the frame of find(); the workers refer to it.
class DnsSearch {
 public:
  DnsSearch(Resolver& resolver, const DnsLimits& limits, Resolver* proof)
      : resolver_(resolver), limits_(limits), proof_(proof) {
    seed_ = limits.seed != 0 ? limits.seed : std::random_device()();
  }

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
  struct DomainFindings {
    std::vector<ProviderCandidate> providers;
    std::vector<Rejection> rejected;
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

  Task<void> ask(const Domain& domain, DomainFindings& found) {
    const std::string service = std::string(kService) + domain.name;
    const auto refuse = [&](std::string subject, std::string reason) {
      found.rejected.push_back({std::move(subject), std::move(reason)});
    };
    auto srv = co_await resolver_.srv(service);
    // A server that validates answers bogus records with a failure, and does not say why.
    const bool failed = !srv && srv.error().code == Code::kIo;
    if (proof_ != nullptr && (failed || (srv && !srv->srv.empty()))) {
      auto proven = co_await proof_->srv(service);
      srv = std::move(proven);
    }
    if (!srv) {
      refuse(domain.name, "SRV: " + srv.error().message);
      co_return;
    }
    for (const auto& cut : srv->cut) refuse(domain.name, "SRV: " + cut);
    // Most domains on a path are no providers: that is no news.
    if (srv->srv.empty()) co_return;
    Resolver& for_text = proof_ != nullptr ? *proof_ : resolver_;
    const auto txt = co_await for_text.txt(service);
    if (!txt) {
      refuse(domain.name, "TXT: " + txt.error().message);
      co_return;
    }
    for (const auto& cut : txt->cut) refuse(domain.name, "TXT: " + cut);
    const auto texts = read_texts(domain.name, txt->texts, found);
    auto ordered = order_srv(srv->srv, seed_);
    if (ordered.size() > limits_.srv_targets_max) {
      refuse(domain.name, "SRV: only " + std::to_string(limits_.srv_targets_max) + " of " +
                              std::to_string(ordered.size()) + " targets are looked up");
      ordered.resize(limits_.srv_targets_max);
    }
    const Dnssec dnssec = std::min(srv->dnssec, txt->dnssec);
    const auto known = found.providers.size();
    for (const auto& record : ordered) co_await resolve_target(domain, record, texts, found);
    for (auto i = known; i < found.providers.size(); ++i) found.providers[i].dnssec = dnssec;
  }

  static std::vector<ProviderText> read_texts(const std::string& domain,
                                              const std::vector<std::string>& lines,
                                              DomainFindings& found) {
    std::vector<ProviderText> texts;
    for (const auto& line : lines) {
      if (!is_provider_text(line)) continue;
      if (auto text = parse_provider_text(line)) {
        texts.push_back(std::move(*text));
      } else {
        found.rejected.push_back({domain, text.error().message});
      }
    }
    return texts;
  }

  // The record for this host, else the one for all hosts.
  static const ProviderText* text_for(const std::vector<ProviderText>& texts,
                                      const std::string& host) {
    const ProviderText* general = nullptr;
    for (const auto& text : texts) {
      if (text.host == host) return &text;
      if (text.host.empty() && general == nullptr) general = &text;
    }
    return general;
  }

  Task<void> resolve_target(const Domain& domain, const SrvRecord& record,
                            const std::vector<ProviderText>& texts, DomainFindings& found) {
    const std::string subject =
        domain.name + " (" + record.target + ':' + std::to_string(record.port) + ')';
    const auto refuse = [&](std::string reason) {
      found.rejected.push_back({subject, std::move(reason)});
    };
    if (record.target.empty()) co_return refuse("the domain says that it offers no such service");
    if (record.port == 0) co_return refuse("port 0");
    const ProviderText* text = text_for(texts, record.target);
    if (text == nullptr || !text->id)
      co_return refuse("no TXT record 'v=icon1 id=...' beside it: whose key to expect is unknown");
    ProviderCandidate candidate;
    std::vector<Endpoint> apis;
    for (const auto type : {RecordType::kA, RecordType::kAaaa}) {
      const auto answer = co_await resolver_.query(record.target, type);
      if (!answer) {
        refuse(answer.error().message);
        continue;
      }
      for (const auto& cut : answer->cut) refuse(std::string(to_string(type)) + ": " + cut);
      for (const auto& address : answer->addresses) {
        if (address.is_non_public()) {
          refuse(address.to_string() + " is not a public address");
        } else {
          apis.push_back({address, record.port});
        }
      }
    }
    if (apis.empty()) co_return refuse("no usable address");
    candidate.name = domain.name;
    candidate.id = text->id;
    candidate.api = apis.front();
    candidate.other_apis.assign(
        apis.begin() + 1,
        apis.begin() + static_cast<std::ptrdiff_t>(std::min(apis.size(), kOtherApisMax + 1)));
    candidate.domain = domain.name;
    candidate.location = text->location;
    candidate.attestation = text->attestation;
    candidate.source = "dns";
    candidate.priority = record.priority;
    candidate.weight = record.weight;
    candidate.hop_ttl = domain.hop.ttl;
    candidate.hop_rtt_us = domain.hop.rtt_us;
    found.providers.push_back(std::move(candidate));
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
  Resolver* proof_;
  std::uint64_t seed_ = 0;
  Findings findings_;
  std::vector<std::optional<HopName>> names_;
  std::vector<Domain> domains_;
  std::vector<DomainFindings> found_;
};

}  // namespace

Task<Findings> DnsProviderSource::find(std::vector<PathHop> hops) {
  DnsSearch search(resolver_, limits_, proof_);
  co_return co_await search.run(std::move(hops));
}

Task<Findings> ConfiguredProviderSource::find(std::vector<PathHop> /*hops*/) {
  Findings findings;
  findings.providers = providers_;
  for (auto& provider : findings.providers) provider.source = "configured";
  co_return findings;
}

}  // namespace icon::discovery
