// Who hosts for a network, by the word of whoever holds its addresses: the same records as under a
// domain, but in the reverse tree, walked up as in RFC 8686 (section 3). It finds providers where
// routers have no names, or names of somebody else.
#pragma once

#include <string>
#include <vector>

#include "base/address.h"
#include "discovery/provider_source.h"
#include "discovery/resolver.h"

namespace icon::discovery {

struct ReverseTreeLimits {
  std::size_t users_max = 256;       // networks that are looked up, those that matter most
  std::size_t hops_max = 256;        // routers, nearest the users first
  std::size_t questions_max = 1024;  // in one run
  std::size_t networks_max = 32;     // with records; then only questions under way go on
  // Below what the validator takes at once.
  std::size_t lookups_in_flight_max = 48;
  DnsLimits service;
};

// The names of an address's networks in the reverse tree, the smallest one first: /32, /24, /16 and
// /8, or /128, /64, /56, /48 and /32. For a user, of whom only the network counts, without those
// that are smaller than a /24 or /48. Pure.
std::vector<std::string> reverse_networks(const Address& address, bool user);

// Owner: the agent's survey. Loop thread only.
class ReverseTreeSource final : public ProviderSource {
 public:
  // As with DnsProviderSource.
  ReverseTreeSource(Resolver& resolver, ReverseTreeLimits limits, Resolver* proof = nullptr)
      : resolver_(resolver), limits_(limits), proof_(proof) {}
  Task<Findings> find(Surroundings around) override;

 private:
  Resolver& resolver_;
  ReverseTreeLimits limits_;
  Resolver* proof_;
};

}  // namespace icon::discovery
