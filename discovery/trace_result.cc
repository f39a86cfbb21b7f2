// TracePlan: what a trace found, put together from its own hops and those of others.
#include <algorithm>
#include <utility>

#include "discovery/trace_plan.h"

namespace icon::discovery {

bool TracePlan::ended_early(std::size_t index) const {
  return targets_[index].ended == TraceEnd::kStopped;
}

std::string TracePlan::note_of(const TraceTarget& target) const {
  switch (target.ended) {
    case TraceEnd::kNone:
    case TraceEnd::kReached:
      return {};
    case TraceEnd::kUnreachable:
      return "unreachable, code " + std::to_string(target.code) + ", says " +
             tree_.router_at(target.who).address.to_string();
    case TraceEnd::kSilent:
      return "silent after hop " + std::to_string(target.code);
    case TraceEnd::kAsAnother:
      return "as to " + targets_[target.like].address.to_string();
    case TraceEnd::kReason:
    case TraceEnd::kStopped:
      return reasons_[target.code];
  }
  return {};
}

// What lies between the same hops for others lies there for this trace, too; so does what lies
// before its first hop. `nodes` are by TTL, [0] is ourselves.
void TracePlan::fill_holes(std::vector<NodeId>& nodes) const {
  for (std::size_t behind = nodes.size(); behind-- > 2;) {
    if (nodes[behind] == kNoNode || nodes[behind - 1] != kNoNode) continue;
    std::size_t before = behind - 1;
    while (before > 0 && nodes[before] == kNoNode) --before;
    std::vector<NodeId> between;
    NodeId node = tree_.at(nodes[behind]).previous;
    for (; node != kNoNode && tree_.at(node).ttl > before; node = tree_.at(node).previous)
      between.push_back(node);
    if (before > 0 && node != nodes[before]) continue;
    for (const NodeId known : between) nodes[tree_.at(known).ttl] = known;
  }
}

// Whom both neighbours met at `ttl`, if it is one that does not answer everybody: then we did too.
NodeId TracePlan::between_neighbours(std::size_t index, int ttl) const {
  constexpr std::uint32_t kReach = 256;
  const std::uint32_t rank = rank_[index];
  const auto count = static_cast<std::uint32_t>(by_address_.size());
  const auto own = [&](std::uint32_t other) {
    const TraceTarget& target = targets_[by_address_[other]];
    if (target.state != TraceTarget::State::kDone || ttl < target.low || ttl > target.end)
      return kNoNode;
    return paths_[target.path + static_cast<std::uint32_t>(ttl - target.low)].node;
  };
  NodeId below = kNoNode;
  NodeId above = kNoNode;
  for (std::uint32_t step = 1; step <= kReach; ++step) {
    if (below == kNoNode && rank >= step) below = own(rank - step);
    if (above == kNoNode && rank + step < count) above = own(rank + step);
  }
  if (below == kNoNode || below != above) return kNoNode;
  return pace_.counts(tree_.at(below).router).limited ? below : kNoNode;
}

TraceResult TracePlan::result(std::size_t index) const {
  const TraceTarget& target = targets_[index];
  TraceResult result;
  result.target = target.address;
  result.method = method_;
  result.reached = target.reached;
  result.note = note_of(target);
  if (target.state != TraceTarget::State::kDone) return result;
  const auto own = [&](int ttl) -> const PathStep* {
    return ttl < target.low || ttl > target.end
               ? nullptr
               : &paths_[target.path + static_cast<std::uint32_t>(ttl - target.low)];
  };
  std::vector<NodeId> nodes(std::size_t{target.end} + 1, kNoNode);
  for (int ttl = target.low; ttl <= target.end; ++ttl)
    nodes[static_cast<std::size_t>(ttl)] = own(ttl)->node;
  if (target.like != kNobody) {
    if (target.end > 0 && nodes.back() == kNoNode) nodes.back() = node_of(target.like, target.end);
    for (int ttl = target.end + 1; ttl <= limits_.ttl_max; ++ttl) {
      const NodeId node = node_of(target.like, ttl);
      if (node == kNoNode) break;
      nodes.push_back(node);
    }
  }
  if (target.end > 0 && nodes[target.low] == kNoNode &&
      !(target.reached && target.low == target.end))
    nodes[target.low] = between_neighbours(index, target.low);
  fill_holes(nodes);
  for (std::size_t at = 1; at < nodes.size(); ++at) {
    Hop hop;
    hop.ttl = static_cast<int>(at);
    const PathStep* step = own(hop.ttl);
    if (step != nullptr) hop.probes = step->probes;
    if (nodes[at] != kNoNode) {
      const PathTree::Router& router = tree_.router_at(nodes[at]);
      hop.address = router.address;
      hop.rtt_us_min = router.rtt_us_min;
      hop.balanced = router.balanced;
      hop.back_hops = tree_.at(nodes[at]).back_hops;
      hop.inferred = step == nullptr || step->node == kNoNode;
    } else if (target.reached && hop.ttl == target.end) {
      hop.address = target.address;
      hop.rtt_us_min = std::max<std::uint32_t>(target.rtt_us, 1);
      hop.back_hops = target.back_hops;
    }
    result.hops.push_back(hop);
  }
  while (!result.hops.empty() && !result.hops.back().address) result.hops.pop_back();
  return result;
}

std::vector<TraceResult> TracePlan::results() const {
  std::vector<TraceResult> results;
  results.reserve(targets_.size());
  for (std::size_t i = 0; i < targets_.size(); ++i) results.push_back(result(i));
  return results;
}

std::vector<RouterSeen> TracePlan::routers() const {
  std::vector<RouterSeen> seen;
  seen.reserve(tree_.router_count());
  auto beside = tree_.beside(kBesideMax);
  for (RouterId id = 1; id <= tree_.router_count(); ++id) {
    const PathTree::Router& router = tree_.router(id);
    const RouterPace::Counts counts = pace_.counts(id);
    seen.push_back({router.address, router.rtt_us_min, router.ttl_max, counts.probes,
                    counts.answers, counts.probes_per_second_max, counts.limited, router.balanced,
                    std::move(beside[id])});
  }
  return seen;
}

}  // namespace icon::discovery
