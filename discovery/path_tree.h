// What the traces of one run have in common: the routers, who stands before whom, and which traces
// need go no further because another has been there (Doubletree's stop sets). Pure; bounded.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/address.h"

namespace icon::discovery {

using RouterId = std::uint32_t;
using NodeId = std::uint32_t;
inline constexpr RouterId kNoRouter = 0;
inline constexpr NodeId kNoNode = 0;

struct TreeLimits {
  std::size_t routers_max = 32'768;
  std::size_t nodes_max = 65'536;
  std::size_t stops_max = 65'536;
};

// The users' block of an address as a number: what the global stop set goes by.
std::uint64_t user_block(const Address& address);

// Owner: one run of a trace.
class PathTree {
 public:
  struct Router {
    Address address;
    std::uint32_t rtt_us_min = 0;  // 0: never measured
    std::uint8_t ttl_max = 0;
    bool balanced = false;  // shares its place on some path with another router
  };
  // A router at a distance.
  struct Node {
    RouterId router = kNoRouter;
    NodeId previous = kNoNode;     // at the TTL before, or nearer with silence in between
    NodeId alternative = kNoNode;  // a ring of those that take turns at this place
    std::uint32_t claimed_by = 0;  // the trace that was first here, or tries again
    std::uint8_t ttl = 0;
    std::uint8_t claims = 0;
    std::uint8_t back_hops = 0;  // by which its answers came; 0: not known
    bool flows_checked = false;
  };

  explicit PathTree(TreeLimits limits = {});

  // kNoNode when the tree is full: the hop is then as good as silent.
  NodeId node(int ttl, const Address& router);
  void measured(NodeId node, std::uint32_t rtt_us);
  // `previous` answered before `next`, towards the same target, and nobody between them.
  void link(NodeId previous, NodeId next);
  // Both were seen at one place, with different flow ids or even with one.
  void balance(NodeId one, NodeId other);
  // Who takes turns with each router at any place, at most `max` of them; by RouterId.
  std::vector<std::vector<Address>> beside(std::size_t max) const;
  // What is before this node is known, without a hole.
  bool complete(NodeId node) const;
  // The local stop set: `trace` is the one that finds out what is before this node.
  void claim(NodeId node, std::uint32_t trace);
  // The global stop set: who was first behind this router towards this block; `trace` if nobody.
  std::uint32_t claim_beyond(RouterId router, std::uint64_t block, std::uint32_t trace);
  // The node at `ttl` on the way to `from`, or `from` itself; kNoNode where nobody knows.
  NodeId before(NodeId from, int ttl) const;

  const Node& at(NodeId node) const { return nodes_[node]; }
  Node& at(NodeId node) { return nodes_[node]; }
  const Router& router(RouterId id) const { return routers_[id]; }
  const Router& router_at(NodeId node) const { return routers_[nodes_[node].router]; }
  std::size_t router_count() const { return routers_.size() - 1; }

 private:
  TreeLimits limits_;
  std::vector<Router> routers_;  // [0] is nobody
  std::vector<Node> nodes_;      // [0] is nowhere
  std::map<Address, RouterId> router_ids_;
  std::unordered_map<std::uint64_t, NodeId> node_ids_;  // by TTL and router
  std::map<std::pair<RouterId, std::uint64_t>, std::uint32_t> beyond_;
};

}  // namespace icon::discovery
