// What the fast path's maps must hold for an ICON's state: the counterpart of rules.h for the
// programs in bpf/. Pure. Keys and values are the bytes the kernel gets (bpf/maps.h).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "supervisor/net/bpf/maps.h"
#include "supervisor/net/rules.h"

namespace icon::net {

enum class FastMap { kPorts, kOverlays, kInterfaces, kDeliveries, kTunnels };
inline constexpr FastMap kFastMaps[] = {FastMap::kPorts, FastMap::kOverlays, FastMap::kInterfaces,
                                        FastMap::kDeliveries, FastMap::kTunnels};

// {map, key} -> value.
using FastEntries = std::map<std::pair<FastMap, std::string>, std::string>;

template <class Value>
std::string fast_bytes(const Value& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

// Where an ICON's interfaces are. Indices; 0: not there (yet).
struct FastPlace {
  int veth = 0;
  int main = 0;  // where the route to the overlay address leads; 0 as well while it is a queue
  std::uint32_t main_link = kIconLinkPlain;
};

// `marks`: peer id -> mark of its open tunnel. What is left out, nftables decides; what an ICON
// that is muted or has not arrived yet sends, too.
FastEntries fast_entries_of(const IconRules& icon, const FastPlace& place,
                            const std::map<std::string, std::uint32_t>& marks);
// The interfaces among these, closed: the rules decide, and hear what the fast path knows.
FastEntries closed(const FastEntries& entries);
FastEntries fast_tunnel_entries(int interface, std::uint32_t link, std::uint32_t mark);
FastEntries fast_outside_entries(int interface);

}  // namespace icon::net
