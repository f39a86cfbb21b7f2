// The nftables rules as text, and which set elements an ICON's state stands for. Pure: what is
// loaded follows from the arguments alone, so that a new supervisor arrives at the same rules.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "supervisor/net/network.h"

namespace icon::net {

// {set, key} -> value; "" in a set without values. Keys and values as nft writes them.
using Elements = std::map<std::pair<std::string, std::string>, std::string>;

// Where an ICON stands on this host.
enum class Phase {
  kServing,   // attached, its packets come and go
  kArriving,  // attached, held until COMMIT: both directions wait in the queue
  kMoved,     // a stub, whether or not the namespace still exists
  kReserved,  // known, nothing here yet
};

struct IconRules {
  IconNetwork network;
  std::optional<Address> overlay6;  // where the kernel has IPv6
  Phase phase = Phase::kReserved;
  bool attached = false;
  bool muted = false;     // kServing: egress dropped before the dump
  std::string next_host;  // kServing and muted: the peer whose copy may speak already
  bool has_stub = false;  // kMoved, or kArriving at a host that holds a stub of it
  StubTarget stub;        // with has_stub
  std::vector<std::string> earlier_stub_peers;  // still accepted after a repoint
  // It returns to a host that had its stub. Packets of this host's own connections are still on
  // their way back from where it was: conntrack must not take them for other connections, for it
  // would give those another source port, and the ICON would reset them.
  bool homecoming = false;
  Guidance guidance;            // kServing
  std::uint32_t hold_mark = 0;  // kArriving

  bool guides() const {
    return phase == Phase::kServing && (guidance.everybody || !guidance.networks.empty());
  }
};

// What users dial.
struct PublicAddresses {
  Address v4;
  std::optional<Address> v6;
};

// Both tables (`ip icon`, `ip6 icon`), rules replaced, elements kept: one transaction.
std::string table_script(const PublicAddresses& addresses, const std::string& external_interface);
// `marks`: peer id -> mark of its open tunnel; a peer without one is left out.
Elements elements_of(const IconRules& icon, const PublicAddresses& addresses,
                     const std::map<std::string, std::uint32_t>& marks);
Elements tunnel_elements(const std::string& peer_id, std::uint32_t mark);
// Whom an element speaks of: the parts of its key and value, whole ("100.64.0.1", "\"iv..\"").
std::vector<std::string> parts_of(const Elements::value_type& element);
// The parts by which an earlier supervisor's elements speak of this ICON.
std::vector<std::string> parts_of(const IconRules& icon);
// What turns `current` into `wanted`, where `removable` may go; "" when there is nothing to do.
std::string change_script(const Elements& current, const Elements& removable,
                          const Elements& wanted);
// From `nft -j list table ip icon` or `ip6 icon`. Errors: kInvalid.
Result<Elements> parse_elements(const std::string& json_text);
Result<std::vector<std::pair<std::string, std::uint64_t>>> parse_counters(
    const std::string& json_text);

}  // namespace icon::net
