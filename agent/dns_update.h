// RFC 2136 updates with TSIG (RFC 8945), by ldns. Blocking: it runs in a process of its own,
// `icon-agent dns-update`, which ends with the secret in it. So no snapshot and no replica has ever
// a copy of that, and a server that does not answer holds up nobody.
#pragma once

#include <string>

#include "agent/dns_plan.h"
#include "base/clock.h"

namespace icon::agent {

inline constexpr Millis kDnsRunMax{20'000};    // for one child
inline constexpr Millis kDnsAnswerMax{3'000};  // for each of a few messages
inline constexpr int kDnsAttemptsMax = 3;      // when somebody else changes the name meanwhile

// Both in the state directory. The agent writes the one, its child the other.
inline constexpr const char* kDnsRequestFile = "/dns-request.json";
inline constexpr const char* kDnsOutcomeFile = "/dns-outcome.json";

// A regular file of ours, 0600 or less, with one key. Errors: kRefused (others could read it),
// kNotFound, kInvalid, kIo.
Result<TsigKey> load_tsig_key(const std::string& path);

// Looks at the name, and changes it when it has to: only if it still is as it was seen.
DnsOutcome update_dns(const DnsRequest& request);

// The child: reads the request in `state_dir`, writes how it ended. The exit status.
int run_dns_update(const std::string& state_dir);

}  // namespace icon::agent
