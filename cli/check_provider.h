// `icon provider check DOMAIN`: is a provider found, proven and able to sell, as a stranger sees
// it? Looks up what an ICON would look up, calls whom it would call, and buys nothing.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/keys.h"
#include "base/task.h"
#include "cli/check.h"
#include "discovery/resolver.h"

namespace icon::cli {

struct ProviderCheckOptions {
  std::string domain;
  std::vector<std::string> dns_servers;  // empty: /etc/resolv.conf
  std::vector<std::string> anchors;      // DS or DNSKEY records; empty: the root's
  double timeout_s = 20;
};

// Calls a provider's API. Errors: as supervisor::PeerClient::call.
class ProviderCaller {
 public:
  struct Answer {
    json::Object body;
    PublicKey peer;
    std::int64_t connect_rtt_us = 0;
  };
  virtual ~ProviderCaller() = default;
  virtual Task<Result<Answer>> post(Endpoint api, std::optional<PublicKey> peer, std::string target,
                                    json::Object body) = 0;
};

struct ProviderCheckParts {
  discovery::Resolver& dns;
  discovery::Resolver& proof;  // answers carry what is known about their signatures
  ProviderCaller& caller;
  const Clock& clock;
};

// In the order in which an ICON goes about it; stops where it would stop.
Task<std::vector<Finding>> check_provider(ProviderCheckParts parts, std::string domain);

// Prints the findings. kFailed when an ICON would not buy here; kUsage.
int run_provider_check(Context& context, const ProviderCheckOptions& options);

}  // namespace icon::cli
