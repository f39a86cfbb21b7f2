// What the owner of a service wants, read from YAML. Every mistake is reported with its line, its
// key and what to write instead; an unknown key is a mistake. Reference: docs/policy.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/lease_book.h"
#include "base/address.h"
#include "base/json.h"
#include "budget/decision.h"
#include "wire/birth.h"
#include "wire/documents.h"

namespace icon::agent {

inline constexpr std::size_t kPolicyBytesMax = 64 << 10;
inline constexpr std::size_t kPolicyListMax = 256;      // entries of one list
inline constexpr std::size_t kPolicyProblemsMax = 100;  // then reading stops
inline constexpr std::size_t kPolicyPortsMax = 64;
inline constexpr std::size_t kPolicyDnsMax = 16;        // servers, trust anchors
inline constexpr std::size_t kPolicyArgumentsMax = 32;  // of a hook's command

struct ConfiguredProvider {
  std::string name;
  std::string id;  // empty: whoever answers there; the domain's TXT is then not consulted
  Endpoint api;
  std::optional<std::int64_t> rtt_us;  // what to assume where no trace leads to it
  std::vector<Prefix> near;            // for which users; empty: all
};

enum class DnssecMode {
  kAuto,     // bogus records are refused; where the servers hand on no signatures, none are missed
  kRequire,  // the same, but missing signatures are bogus
  kOff,
};
std::string_view to_string(DnssecMode mode);

struct DnsPolicy {
  DnssecMode dnssec = DnssecMode::kAuto;
  std::vector<std::string> anchors;  // DS or DNSKEY records; empty: the root's
  std::vector<std::string> servers;  // empty: those of the container's /etc/resolv.conf
};

// Where else to look for providers, beside the names of the routers and the configured list.
struct SourcesPolicy {
  bool reverse_tree = false;
  bool dht = false;
};

enum class RedirectMode { kForward, kRedirect };
std::string_view to_string(RedirectMode mode);  // as in wire::MoveOrder::redirect

// How a replica is made, and what makes its randomness its own.
struct ReplicatePolicy {
  wire::Birth::Mode mode = wire::Birth::Mode::kClone;
  std::vector<std::string> command;  // run in the copy before it serves; must end with 0
  int signal = 0;                    // to the service in the copy; 0: none
  std::int64_t limit_ms = 5'000;     // for all of that
  // Of the ICON's own decision: so many at once; 0: none.
  std::int64_t max = 0;
  std::int64_t share_percent = 10;    // of what is left goes to a new one
  std::int64_t remember_ms = 30'000;  // so long may users remember where they were led
  std::int64_t drain_ms = 60'000;     // one that ends waits so long for its users' connections
};

// The service's name in the owner's own DNS: RFC 2136 updates, signed with TSIG.
struct DnsUpdatePolicy {
  // What of the ICON's own address: the replicas' come and go anyway.
  enum class Own {
    kOff,      // the owner keeps it
    kAdd,      // it joins; that of an earlier host stays as long as the stub there
    kReplace,  // it takes the place of the earlier one; whoever remembers that comes by the stub
  };
  Endpoint server;
  std::string zone;
  std::string name;
  std::string key_file = "/run/icon/state/dns.key";
  std::int64_t ttl_s = 30;
  Own own = Own::kOff;
};
std::string_view to_string(DnsUpdatePolicy::Own own);

struct Policy {
  std::string name = "default";
  std::int64_t version = 1;
  std::int64_t objective_us = 20'000;
  std::int64_t percentile = 50;                // 50 or 95
  wire::MicroCredits budget_ucredits = 0;      // 0: watch only, never buy
  std::int64_t budget_lasts_ms = 0;            // from the first decision; 0: spent when it pays
  wire::MicroCredits value_ucredits = 50'000;  // of one connection served well, per hour
  wire::MicroCredits margin_ucredits = 10'000;
  std::optional<wire::MicroCredits> max_price_ucredits;  // for one slot
  std::int64_t horizon_ms = 3'600'000;
  std::int64_t interval_ms = 10'000;
  std::int64_t cooldown_ms = 60'000;
  std::int64_t rounds = 3;
  std::int64_t moves_per_hour = 6;  // at most, replicas and failed attempts included
  std::int64_t window_ms = 60'000;  // so long what was seen of a user counts
  std::vector<std::string> allow;
  std::vector<std::string> deny;
  budget::Residency residency;
  RedirectMode redirect = RedirectMode::kForward;
  wire::Resources slot{500, 256LL << 20, 100'000'000};
  std::int64_t slot_seconds = 3600;
  Renew renew = Renew::kAuto;  // a slot that ends
  bool bids = true;            // sealed ones, where there is no posted price
  std::vector<ConfiguredProvider> providers;
  DnsPolicy dns;
  SourcesPolicy sources;
  bool ask_pings = true;                     // name users' addresses to those who make an offer
  std::int64_t promise_window_ms = 120'000;  // by then the promised gain must have appeared,
  std::int64_t promise_keep = 50;            // so many percent of it
  ReplicatePolicy replicate;
  std::optional<DnsUpdatePolicy> dns_update;
  std::int64_t record_bytes = 0;     // how much to keep of what each round saw; 0: nothing
  std::vector<std::uint16_t> watch;  // service ports; empty: the published ones

  json::Object to_json() const;
  budget::DecisionPolicy decision_policy() const;
};

struct PolicyProblem {
  int line = 0;     // from 1; 0: the whole file
  std::string key;  // "latency.objective"
  std::string message;
  std::string hint;

  // "line 3: latency.objective: not a duration: '20'. Write a number with a unit, like 20ms."
  std::string to_string() const;
};

struct PolicyReading {
  std::optional<Policy> policy;  // set when there is no problem
  std::vector<PolicyProblem> problems;
};

// Never throws, whatever the text. An empty text is the default policy.
PolicyReading read_policy(std::string_view yaml);
// The same, with all problems in one error, a line each. Errors: kInvalid.
Result<Policy> parse_policy(std::string_view yaml);

// "250us", "20ms", "1.5s", "10m", "1h", "2d" -> microseconds. Errors: kInvalid.
Result<std::int64_t> parse_duration_us(std::string_view text);
// "512", "64KiB", "256MiB", "1GB" -> bytes. Errors: kInvalid.
Result<std::int64_t> parse_bytes(std::string_view text);
// "100Mbit", "1Gbit", "64kbit" -> bits per second. Errors: kInvalid.
Result<std::int64_t> parse_bandwidth_bps(std::string_view text);

}  // namespace icon::agent
