#include "discovery/service_lookup.h"

#include <algorithm>
#include <random>
#include <utility>

#include "discovery/registrable_domain.h"

namespace icon::discovery {
namespace {

constexpr std::string_view kService = "_icon._tcp.";

std::vector<ProviderText> read_texts(const std::string& subject,
                                     const std::vector<std::string>& lines,
                                     ServiceFindings& found) {
  std::vector<ProviderText> texts;
  for (const auto& line : lines) {
    if (!is_provider_text(line)) continue;
    if (auto text = parse_provider_text(line)) {
      texts.push_back(std::move(*text));
    } else {
      found.rejected.push_back({subject, text.error().message});
    }
  }
  return texts;
}

// The record for this host, else the one for all hosts.
const ProviderText* text_for(const std::vector<ProviderText>& texts, const std::string& host) {
  const ProviderText* general = nullptr;
  for (const auto& text : texts) {
    if (text.host == host) return &text;
    if (text.host.empty() && general == nullptr) general = &text;
  }
  return general;
}

}  // namespace

ServiceLookup::ServiceLookup(Resolver& resolver, const DnsLimits& limits, Resolver* proof)
    : resolver_(resolver),
      limits_(limits),
      proof_(proof),
      seed_(limits.seed != 0 ? limits.seed : std::random_device()()) {}

Task<void> ServiceLookup::ask(ServiceQuestion question, ServiceFindings& found) {
  const std::string& subject = question.subject;
  const std::string service = std::string(kService) + subject;
  const auto refuse = [&](std::string reason) {
    found.rejected.push_back({subject, std::move(reason)});
  };
  auto srv = co_await resolver_.srv(service);
  const bool failed = !srv && srv.error().code == Code::kIo && question.explain_failures;
  if (proof_ != nullptr && (failed || (srv && !srv->srv.empty()))) {
    auto proven = co_await proof_->srv(service);
    srv = std::move(proven);
  }
  if (!srv) {
    found.failure = srv.error();
    co_return;
  }
  for (const auto& cut : srv->cut) refuse("SRV: " + cut);
  // Most domains on a path are no providers: that is no news.
  if (srv->srv.empty()) co_return;
  found.present = true;
  Resolver& for_text = proof_ != nullptr ? *proof_ : resolver_;
  const auto txt = co_await for_text.txt(service);
  if (!txt) co_return refuse("TXT: " + txt.error().message);
  for (const auto& cut : txt->cut) refuse("TXT: " + cut);
  const auto texts = read_texts(subject, txt->texts, found);
  auto ordered = order_srv(srv->srv, seed_);
  if (ordered.size() > limits_.srv_targets_max) {
    refuse("SRV: only " + std::to_string(limits_.srv_targets_max) + " of " +
           std::to_string(ordered.size()) + " targets are looked up");
    ordered.resize(limits_.srv_targets_max);
  }
  const Dnssec dnssec = std::min(srv->dnssec, txt->dnssec);
  const auto known = found.providers.size();
  for (const auto& record : ordered) co_await resolve_target(question, record, texts, found);
  for (auto i = known; i < found.providers.size(); ++i) found.providers[i].dnssec = dnssec;
}

Task<std::vector<Endpoint>> ServiceLookup::addresses_of(const SrvRecord& record,
                                                        const std::string& subject,
                                                        ServiceFindings& found) {
  std::vector<Endpoint> apis;
  for (const auto type : {RecordType::kA, RecordType::kAaaa}) {
    const auto answer = co_await resolver_.query(record.target, type);
    if (!answer) {
      found.rejected.push_back({subject, answer.error().message});
      continue;
    }
    for (const auto& cut : answer->cut)
      found.rejected.push_back({subject, std::string(to_string(type)) + ": " + cut});
    for (const auto& address : answer->addresses) {
      if (address.is_non_public()) {
        found.rejected.push_back({subject, address.to_string() + " is not a public address"});
      } else {
        apis.push_back({address, record.port});
      }
    }
  }
  co_return apis;
}

Task<void> ServiceLookup::resolve_target(const ServiceQuestion& question, const SrvRecord& record,
                                         const std::vector<ProviderText>& texts,
                                         ServiceFindings& found) {
  const std::string subject =
      question.subject + " (" + record.target + ':' + std::to_string(record.port) + ')';
  const auto refuse = [&](std::string reason) {
    found.rejected.push_back({subject, std::move(reason)});
  };
  if (record.target.empty()) co_return refuse("the domain says that it offers no such service");
  if (record.port == 0) co_return refuse("port 0");
  const ProviderText* text = text_for(texts, record.target);
  if (text == nullptr || !text->id)
    co_return refuse("no TXT record 'v=icon1 id=...' beside it: whose key to expect is unknown");
  ProviderCandidate candidate;
  candidate.domain = question.owner;
  if (candidate.domain.empty()) {
    auto domain = registrable_domain(record.target);
    if (!domain) co_return refuse("the host belongs to no domain");
    candidate.domain = std::move(*domain);
  }
  const auto apis = co_await addresses_of(record, subject, found);
  if (apis.empty()) co_return refuse("no usable address");
  candidate.name = candidate.domain;
  candidate.id = text->id;
  candidate.api = apis.front();
  candidate.other_apis.assign(
      apis.begin() + 1,
      apis.begin() + static_cast<std::ptrdiff_t>(std::min(apis.size(), kOtherApisMax + 1)));
  candidate.location = text->location;
  candidate.attestation = text->attestation;
  candidate.source = question.source;
  candidate.priority = record.priority;
  candidate.weight = record.weight;
  candidate.hop_ttl = question.hop.ttl;
  candidate.hop_rtt_us = question.hop.rtt_us;
  found.providers.push_back(std::move(candidate));
}

}  // namespace icon::discovery
