// What went by the stubs of this host, read from where it is counted: nftables' set elements with a
// counter, and the fast path's maps. Whoever forwards a packet counts it, so both are added up. For
// a worker: 10,000 elements take the kernel some 10 ms, for which the loop must not stand still.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/fd.h"
#include "base/result.h"
#include "supervisor/net/network.h"

namespace icon::net {

struct TrafficRead {
  std::map<Address, StubTraffic> by_overlay;  // IPv4 and IPv6 apart
  StubTraffic sum;
};

// The `most` that have carried the most bytes, the busiest first; among equals by id.
std::vector<std::pair<std::string, StubTraffic>> busiest_stubs(const StubTraffics& traffic,
                                                               std::size_t most);

// What the rules have counted, in the network namespace of the calling thread. Errors: kIo.
Status add_ruleset_traffic(TrafficRead& read);

// What the fast path has counted. Its descriptors are its own.
class FastTraffic {
 public:
  FastTraffic(UniqueFd stubs, UniqueFd sum) : stubs_(std::move(stubs)), sum_(std::move(sum)) {}
  // Errors: kIo.
  Status add_to(TrafficRead& read) const;

 private:
  UniqueFd stubs_;
  UniqueFd sum_;
};

}  // namespace icon::net
