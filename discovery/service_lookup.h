// One name, asked for providers: SRV and the TXT beside it, with proof, then the addresses. What
// the sources that go by the DNS have in common.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "discovery/provider.h"
#include "discovery/provider_source.h"
#include "discovery/resolver.h"

namespace icon::discovery {

struct ServiceQuestion {
  std::string subject;  // _icon._tcp. in front of this is asked; rejections name it
  std::string owner;    // the candidates' domain; empty: that of the host that each is on
  std::string source;   // of the candidates
  PathHop hop;
  // Servers that validate answer bogus records with a failure, and do not say why: ask again, here,
  // why a question failed.
  bool explain_failures = false;
};

struct ServiceFindings {
  std::vector<ProviderCandidate> providers;
  std::vector<Rejection> rejected;
  bool present = false;          // there are SRV records
  std::optional<Error> failure;  // of the first question
};

// Everything is borrowed. `proof` may be null: nothing is checked then. Loop thread only.
class ServiceLookup {
 public:
  ServiceLookup(Resolver& resolver, const DnsLimits& limits, Resolver* proof);
  // `found` must outlive the task.
  Task<void> ask(ServiceQuestion question, ServiceFindings& found);

 private:
  Task<void> resolve_target(const ServiceQuestion& question, const SrvRecord& record,
                            const std::vector<ProviderText>& texts, ServiceFindings& found);
  Task<std::vector<Endpoint>> addresses_of(const SrvRecord& record, const std::string& subject,
                                           ServiceFindings& found);

  Resolver& resolver_;
  const DnsLimits& limits_;
  Resolver* proof_;
  std::uint64_t seed_;
};

}  // namespace icon::discovery
