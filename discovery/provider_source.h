// Where providers come from, behind one interface: the names of the hops, or a list; further ones
// in reverse_tree_source.h and dht_source.h.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/task.h"
#include "discovery/provider.h"
#include "discovery/resolver.h"

namespace icon::discovery {

// A router on the way to the users, once per address.
struct PathHop {
  Address address;
  int ttl = 0;              // the largest one seen
  std::int64_t rtt_us = 0;  // the smallest one seen; 0: unknown
};

struct HopName {
  Address address;
  std::string name;
  std::string domain;
};

struct Findings {
  std::vector<ProviderCandidate> providers;
  std::vector<Rejection> rejected;
  std::vector<HopName> names;
  std::vector<std::string> domains;  // that were asked
};

// What a source may go by.
struct Surroundings {
  Surroundings() = default;
  Surroundings(std::vector<PathHop> path_hops, std::vector<Address> near = {})
      : hops(std::move(path_hops)), users(std::move(near)) {}

  std::vector<PathHop> hops;   // farthest first
  std::vector<Address> users;  // one of each network, those that matter most first; public ones
};

// Loop thread only. A source that finds nothing says why in `rejected`; it never fails as a whole.
class ProviderSource {
 public:
  virtual ~ProviderSource() = default;
  virtual Task<Findings> find(Surroundings around) = 0;
};

struct DnsLimits {
  std::size_t hops_max = 512;       // reverse look-ups
  std::size_t domains_max = 32;     // asked for SRV
  std::size_t srv_targets_max = 8;  // resolved per domain
  std::size_t providers_max = 128;
  std::size_t rejections_max = 256;
  std::size_t lookups_in_flight_max = 512;  // names of dead servers hold a place for long
  std::uint64_t seed = 0;                   // of the RFC 2782 draw; 0: from the system
};

// Hops -> PTR -> registrable domain -> SRV _icon._tcp.<domain> and TXT beside it -> A, AAAA.
class DnsProviderSource final : public ProviderSource {
 public:
  // Both are borrowed. `proof` is asked again for what leads to payment, SRV and TXT, wherever
  // there is something: its answer counts. Without it nothing is checked.
  DnsProviderSource(Resolver& resolver, DnsLimits limits, Resolver* proof = nullptr)
      : resolver_(resolver), limits_(limits), proof_(proof) {}
  Task<Findings> find(Surroundings around) override;

 private:
  Resolver& resolver_;
  DnsLimits limits_;
  Resolver* proof_;
};

// What the operator, the policy or the supervisor names. The agent replaces the list as it learns.
class ConfiguredProviderSource final : public ProviderSource {
 public:
  explicit ConfiguredProviderSource(std::vector<ProviderCandidate> providers = {})
      : providers_(std::move(providers)) {}
  void replace(std::vector<ProviderCandidate> providers) { providers_ = std::move(providers); }
  Task<Findings> find(Surroundings around) override;

 private:
  std::vector<ProviderCandidate> providers_;
};

// The order in which RFC 2782 has a client try targets: priority, then a draw by weight. The same
// seed and records (in any order) give the same result. Pure.
std::vector<SrvRecord> order_srv(std::vector<SrvRecord> records, std::uint64_t seed);

}  // namespace icon::discovery
