// The fast path's map `flows`, seen from the supervisor: which connections bypass the rules. For a
// worker: it has a descriptor of its own, and the map can be read while packets change it.
#pragma once

#include <cstddef>
#include <set>
#include <utility>

#include "base/address.h"
#include "base/fd.h"
#include "base/result.h"
#include "supervisor/net/conntrack.h"

namespace icon::net {

class FastFlows {
 public:
  explicit FastFlows(UniqueFd map) : map_(std::move(map)) {}

  // Its packets do not pass connection tracking any more, nor will they.
  bool carries(const TrackedConnection& connection) const;
  // An established connection that came by a tunnel while the ICON was held enters the map with its
  // next packet. False: it is not such a one; else it is in the map now, and carries() holds.
  bool adopt(const TrackedConnection& connection) const;
  // Removes the connections of these overlay addresses: all, or those that both ends have closed or
  // one has reset. Their number. Errors: kIo.
  Result<std::size_t> erase(const std::set<Address>& overlays, bool ended_only) const;

 private:
  UniqueFd map_;
};

}  // namespace icon::net
