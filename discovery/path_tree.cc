#include "discovery/path_tree.h"

#include <algorithm>

namespace icon::discovery {
namespace {

constexpr std::size_t kRingStepsMax = 64;

}  // namespace

std::uint64_t user_block(const Address& address) {
  constexpr std::size_t kBytesV4 = 3;  // as Prefix::of_user: /24 and /48
  constexpr std::size_t kBytesV6 = 6;
  std::uint64_t block = address.is_v4() ? 1 : 2;
  const std::size_t count = address.is_v4() ? kBytesV4 : kBytesV6;
  for (const std::uint8_t byte : address.bytes().first(count)) block = block << 8 | byte;
  return block;
}

PathTree::PathTree(TreeLimits limits) : limits_(limits), routers_(1), nodes_(1) {}

NodeId PathTree::node(int ttl, const Address& router) {
  const auto known = router_ids_.find(router);
  RouterId id = known == router_ids_.end() ? kNoRouter : known->second;
  if (id == kNoRouter) {
    if (routers_.size() > limits_.routers_max) return kNoNode;
    id = static_cast<RouterId>(routers_.size());
    routers_.push_back({router, 0, 0, false});
    router_ids_.emplace(router, id);
  }
  const std::uint64_t key = static_cast<std::uint64_t>(ttl) << 32 | id;
  if (const auto found = node_ids_.find(key); found != node_ids_.end()) return found->second;
  if (nodes_.size() > limits_.nodes_max) return kNoNode;
  const auto made = static_cast<NodeId>(nodes_.size());
  Node node;
  node.router = id;
  node.ttl = static_cast<std::uint8_t>(ttl);
  node.alternative = made;
  nodes_.push_back(node);
  node_ids_.emplace(key, made);
  routers_[id].ttl_max = std::max(routers_[id].ttl_max, node.ttl);
  return made;
}

void PathTree::measured(NodeId node, std::uint32_t rtt_us) {
  if (node == kNoNode) return;
  auto& least = routers_[nodes_[node].router].rtt_us_min;
  if (least == 0 || rtt_us < least) least = std::max<std::uint32_t>(rtt_us, 1);
}

void PathTree::link(NodeId previous, NodeId next) {
  if (previous == kNoNode || next == kNoNode) return;
  // What is nearer to it is better.
  NodeId& known = nodes_[next].previous;
  if (known == kNoNode || nodes_[known].ttl < nodes_[previous].ttl) known = previous;
}

std::vector<std::vector<Address>> PathTree::beside(std::size_t max) const {
  std::vector<std::vector<Address>> lists(routers_.size());
  for (NodeId node = 1; node < nodes_.size(); ++node) {
    auto& list = lists[nodes_[node].router];
    std::size_t steps = 0;
    for (NodeId member = nodes_[node].alternative;
         member != node && list.size() < max && ++steps <= kRingStepsMax;
         member = nodes_[member].alternative) {
      const Address& address = router_at(member).address;
      if (nodes_[member].router != nodes_[node].router &&
          std::find(list.begin(), list.end(), address) == list.end())
        list.push_back(address);
    }
  }
  return lists;
}

bool PathTree::complete(NodeId node) const {
  const Node& of = nodes_[node];
  return of.ttl <= 1 || (of.previous != kNoNode && nodes_[of.previous].ttl + 1 == of.ttl);
}

void PathTree::balance(NodeId one, NodeId other) {
  if (one == kNoNode || other == kNoNode || one == other) return;
  for (NodeId member = nodes_[one].alternative; member != one; member = nodes_[member].alternative)
    if (member == other) return;
  // Two rings become one.
  std::swap(nodes_[one].alternative, nodes_[other].alternative);
  routers_[nodes_[one].router].balanced = true;
  routers_[nodes_[other].router].balanced = true;
}

void PathTree::claim(NodeId node, std::uint32_t trace) {
  nodes_[node].claimed_by = trace;
  if (nodes_[node].claims < UINT8_MAX) ++nodes_[node].claims;
}

std::uint32_t PathTree::claim_beyond(RouterId router, std::uint64_t block, std::uint32_t trace) {
  const auto key = std::make_pair(router, block);
  if (const auto first = beyond_.find(key); first != beyond_.end()) return first->second;
  if (router != kNoRouter && beyond_.size() < limits_.stops_max) beyond_.emplace(key, trace);
  return trace;
}

NodeId PathTree::before(NodeId from, int ttl) const {
  while (from != kNoNode && nodes_[from].ttl > ttl) from = nodes_[from].previous;
  return from != kNoNode && nodes_[from].ttl == ttl ? from : kNoNode;
}

}  // namespace icon::discovery
