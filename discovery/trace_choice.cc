// TracePlan: what one trace would send next, and whom that will meet.
#include <algorithm>
#include <bit>

#include "discovery/trace_plan.h"

namespace icon::discovery {
namespace {

constexpr int kWindowAhead = 2;     // of what begins far out
constexpr int kWindowBackward = 2;  // once the first hop has answered
constexpr std::uint32_t kNeighbourReach = 32;
constexpr int kFollowMax = 4;  // a path that goes on as another's, that goes on as ...
constexpr std::size_t kGuessesMax = 8192;

// For 95 % certainty that there are no more than k next hops: Veitch, Augustin, Friedman,
// Teixeira, "Failure control in multipath route tracing", 2009.
int flows_wanted(int seen) {
  constexpr int kFlowsFor[] = {6, 11, 16};
  return kFlowsFor[std::clamp(seen, 1, 3) - 1];
}

void earlier(std::optional<SteadyTime>& to, const std::optional<SteadyTime>& at) {
  if (at && (!to || *at < *to)) to = at;
}

}  // namespace

int TracePlan::unresolved(const OpenTrace& trace, int from, int to) const {
  int count = 0;
  for (int ttl = from; ttl <= to; ++ttl)
    if (!trace.slot(ttl).resolved) ++count;
  return count;
}

TraceChoice TracePlan::choose(OpenTrace& trace, SteadyTime now) {
  if (trace.serial && trace.waiting > 0) return {};
  if (trace.checking_flows) return choose_flow(trace, now);
  std::optional<SteadyTime> wait;
  const int sent_to = std::min(trace.high, trace.end);
  for (int ttl = trace.low; ttl <= sent_to; ++ttl) {
    const Slot& slot = trace.slot(ttl);
    if (slot.resolved || slot.waiting != 0) continue;
    const TraceChoice choice = paced(trace, ttl, now);
    if (choice.tag) return choice;
    earlier(wait, choice.wait);
  }
  const bool begun = trace.high >= trace.first;
  if (!trace.forward_done && trace.high < trace.end) {
    const TraceTarget& target = targets_[trace.target];
    const bool alone = limits_.global_stops && target.block_first != trace.target;
    const int window = trace.pioneer                                           ? limits_.window
                       : alone && !(begun && trace.slot(trace.first).resolved) ? 1
                                                                               : kWindowAhead;
    if (unresolved(trace, trace.first, trace.high) < window) {
      const TraceChoice choice = paced(trace, trace.high + 1, now);
      if (choice.tag) return choice;
      earlier(wait, choice.wait);
    }
  }
  if (!trace.backward_done && trace.low > 1 && begun && trace.slot(trace.first).resolved &&
      unresolved(trace, trace.low, trace.first - 1) < kWindowBackward) {
    const TraceChoice choice = paced(trace, trace.low - 1, now);
    if (choice.tag) return choice;
    earlier(wait, choice.wait);
  }
  return {std::nullopt, wait};
}

TraceChoice TracePlan::paced(OpenTrace& trace, int ttl, SteadyTime now) {
  const Slot& slot = trace.slot(ttl);
  const RouterId router = predict(trace, ttl);
  // On the way back it is a router that nobody knows: what we expect is only a guess.
  const bool repeated = slot.attempts > 0 && (trace.pioneer || ttl >= trace.first);
  SteadyTime ready = now;
  if (router != kNoRouter) {
    ready = pace_.ready_at(router, repeated, now);
  } else {
    ready = guess_pace_.ready_at(guess(targets_[trace.target], ttl), false, now);
  }
  if (ready <= now) return {ProbeTag{ttl, slot.attempts + 1, 0}, std::nullopt};
  // Whoever has waited long enough for his turn is let go by settle().
  const SteadyTime patience = trace.opened + limits_.limited_wait;
  return {std::nullopt, repeated && patience > now ? std::min(ready, patience) : ready};
}

TraceChoice TracePlan::choose_flow(OpenTrace& trace, SteadyTime now) const {
  std::optional<SteadyTime> wait;
  for (const FlowCheck& check : trace.flows) {
    const int sent = std::popcount(check.sent);
    if (sent >= std::min(limits_.flows_max, flows_wanted(check.seen_count))) continue;
    const SteadyTime ready = pace_.ready_at(tree_.at(check.seen[0]).router, false, now);
    if (ready <= now) return {ProbeTag{check.ttl, 1, sent}, std::nullopt};
    earlier(wait, ready);
  }
  return {std::nullopt, wait};
}

bool TracePlan::flows_done(const OpenTrace& trace) const {
  return std::all_of(trace.flows.begin(), trace.flows.end(), [this](const FlowCheck& check) {
    return check.waiting == 0 &&
           std::popcount(check.sent) >= std::min(limits_.flows_max, flows_wanted(check.seen_count));
  });
}

// A number for the unknown router at `ttl` before the block; kNoRouter: nothing is gained by it.
RouterId TracePlan::guess(const TraceTarget& target, int ttl) {
  if (!target.shares_block) return kNoRouter;
  const auto key = std::make_pair(user_block(target.address), ttl);
  if (const auto found = guesses_.find(key); found != guesses_.end()) return found->second;
  if (guesses_.size() >= kGuessesMax) return kNoRouter;
  return guesses_.emplace(key, static_cast<RouterId>(guesses_.size() + 1)).first->second;
}

RouterId TracePlan::predict(OpenTrace& trace, int ttl) const {
  if (trace.slot(ttl).node != kNoNode) return tree_.at(trace.slot(ttl).node).router;
  for (int above = ttl + 1; above <= std::min(trace.high, trace.end); ++above) {
    if (trace.slot(above).node == kNoNode) continue;
    if (const NodeId node = tree_.before(trace.slot(above).node, ttl); node != kNoNode)
      return tree_.at(node).router;
    break;
  }
  NodeId node = neighbours_node(trace, ttl);
  // As good a guess as any, and asking one router too slowly is better than too fast.
  const int family = targets_[trace.target].address.is_v4() ? 1 : 0;
  if (node == kNoNode) node = last_node_[family][static_cast<std::size_t>(ttl)];
  return node == kNoNode ? kNoRouter : tree_.at(node).router;
}

// Whom the nearest trace that knows met at `ttl`.
NodeId TracePlan::neighbours_node(OpenTrace& trace, int ttl) const {
  if (trace.neighbour != kNobody)
    if (const NodeId node = node_of(trace.neighbour, ttl); node != kNoNode) return node;
  const std::uint32_t found = neighbour_of(
      trace.target, [&](std::uint32_t other) { return node_of(other, ttl) != kNoNode; });
  if (found == kNobody) return kNoNode;
  trace.neighbour = found;
  return node_of(found, ttl);
}

// The finished trace to the nearest address for which `fits`, if one is near.
template <class Fits>
std::uint32_t TracePlan::neighbour_of(std::uint32_t target, Fits fits) const {
  const std::uint32_t rank = rank_[target];
  const bool v4 = targets_[target].address.is_v4();
  const auto good = [&](std::uint32_t index) {
    const TraceTarget& other = targets_[index];
    return other.state == TraceTarget::State::kDone && other.address.is_v4() == v4 && fits(index);
  };
  for (std::uint32_t step = 1; step <= kNeighbourReach; ++step) {
    if (rank >= step && good(by_address_[rank - step])) return by_address_[rank - step];
    if (rank + step < by_address_.size() && good(by_address_[rank + step]))
      return by_address_[rank + step];
  }
  return kNobody;
}

// A finished trace to our block that met somebody at `ttl`.
std::uint32_t TracePlan::mate_of(std::uint32_t target, int ttl) const {
  const std::uint32_t first = targets_[target].block_first;
  const std::uint64_t block = user_block(targets_[target].address);
  const auto knows = [&](std::uint32_t other) {
    return user_block(targets_[other].address) == block && node_of(other, ttl) != kNoNode;
  };
  const std::uint32_t near = neighbour_of(target, knows);
  return near == kNobody && first != target && knows(first) ? first : near;
}

// Where to begin by the example of the nearest finished trace; 0 where there is none.
int TracePlan::neighbours_ttl(std::uint32_t target) const {
  const std::uint32_t found =
      neighbour_of(target, [this](std::uint32_t other) { return learnt_ttl(targets_[other]) > 0; });
  return found == kNobody ? 0 : learnt_ttl(targets_[found]);
}

// The TTL of the last router before a target like this one; 0 where that is not known.
int TracePlan::learnt_ttl(const TraceTarget& neighbour) const {
  switch (neighbour.ended) {
    case TraceEnd::kReached:
      return std::max(1, neighbour.end - 1);
    case TraceEnd::kSilent:
      return neighbour.code;
    case TraceEnd::kNone:
    case TraceEnd::kUnreachable:
    case TraceEnd::kAsAnother:
      return neighbour.end;
    case TraceEnd::kReason:
    case TraceEnd::kStopped:
      return 0;
  }
  return 0;
}

// Whom a finished trace met at `ttl`, or would have.
NodeId TracePlan::node_of(std::uint32_t index, int ttl) const {
  for (int followed = 0; followed < kFollowMax && index != kNobody; ++followed) {
    const TraceTarget& target = targets_[index];
    if (target.state != TraceTarget::State::kDone || target.end == 0) return kNoNode;
    if (ttl <= target.end) {
      const NodeId low = paths_[target.path].node;
      if (ttl >= target.low) {
        const NodeId own = paths_[target.path + static_cast<std::uint32_t>(ttl - target.low)].node;
        if (own != kNoNode || target.like == kNobody) return own;
      } else if (low != kNoNode) {
        return tree_.before(low, ttl);
      } else if (target.like == kNobody) {
        return kNoNode;
      }
    }
    index = target.like;
  }
  return kNoNode;
}

}  // namespace icon::discovery
