// TracePlan: what an answer, or its absence, means for a trace.
#include <algorithm>
#include <bit>
#include <utility>

#include "discovery/trace_plan.h"

namespace icon::discovery {
namespace {

constexpr int kClaimsMax = 3;  // walks from one node towards us
constexpr int kTriesMoreForOthers = 2;

}  // namespace

std::optional<ProbeTag> TracePlan::tag_of(OpenTrace& trace, const ProbeReply& reply) {
  if (reply.tag) return reply.tag;
  // The router quoted too little. With one probe under way it can only be that one; with more
  // there is no telling, so from here on this target gets one at a time.
  if (trace.waiting != 1 || trace.checking_flows) {
    trace.serial = true;
    return std::nullopt;
  }
  for (int ttl = trace.low; ttl <= trace.high; ++ttl)
    if (const unsigned waiting = trace.slot(ttl).waiting; waiting != 0)
      return ProbeTag{ttl, std::countr_zero(waiting) + 1, 0};
  return std::nullopt;
}

bool TracePlan::on_reply(const ProbeReply& reply, SteadyTime received) {
  if (reply.cookie && *reply.cookie != cookie_) return false;
  const auto found = std::lower_bound(
      by_address_.begin(), by_address_.end(), reply.target,
      [this](std::uint32_t index, const Address& to) { return targets_[index].address < to; });
  if (found == by_address_.end() || targets_[*found].address != reply.target) return false;
  TraceTarget& target = targets_[*found];
  if (target.state != TraceTarget::State::kOpen) return false;
  OpenTrace& trace = open_[target.open];
  const auto tag = tag_of(trace, reply);
  if (!tag || tag->ttl > std::min(trace.end, trace.high) || tag->ttl < trace.low) return false;
  const std::uint32_t place = target.open;
  if (tag->flow > 0) {
    if (!on_flow_reply(trace, reply, *tag)) return false;
  } else {
    Slot& slot = trace.slot(tag->ttl);
    const int bit = 1 << (tag->attempt - 1);
    if (tag->attempt > slot.attempts || (slot.answered & bit) != 0) return false;
    const SteadyTime sent =
        begin_ + Micros(slot.sent_us[static_cast<std::size_t>(tag->attempt) - 1]);
    if (received < sent) return false;
    slot.answered = static_cast<std::uint8_t>(slot.answered | bit);
    if ((slot.waiting & bit) != 0) {
      slot.waiting = static_cast<std::uint8_t>(slot.waiting & ~bit);
      --trace.waiting;
      --in_flight_;
    }
    const auto rtt_us =
        static_cast<std::uint32_t>(std::chrono::duration_cast<Micros>(received - sent).count());
    rtt_us_max_ = std::max(rtt_us_max_, rtt_us);
    ++rtts_;
    slot.heard = true;
    ++slot.replies;
    if (reply.kind == ProbeReply::Kind::kTimeExceeded) {
      note_router(trace, tag->ttl, reply, rtt_us, received);
    } else {
      note_end(trace, tag->ttl, reply, rtt_us);
    }
  }
  settle(trace, received);
  enqueue(place);
  return true;
}

bool TracePlan::on_flow_reply(OpenTrace& trace, const ProbeReply& reply, const ProbeTag& tag) {
  for (FlowCheck& check : trace.flows) {
    if (check.ttl != tag.ttl || (check.waiting >> tag.flow & 1) == 0) continue;
    check.waiting = static_cast<std::uint16_t>(check.waiting & ~(1 << tag.flow));
    --trace.waiting;
    --in_flight_;
    if (reply.kind != ProbeReply::Kind::kTimeExceeded) return true;
    const NodeId node = tree_.node(tag.ttl, reply.from);
    const auto seen_end = check.seen.begin() + check.seen_count;
    if (node == kNoNode || std::find(check.seen.begin(), seen_end, node) != seen_end) return true;
    tree_.balance(check.seen[0], node);
    if (check.seen_count < check.seen.size()) check.seen[check.seen_count++] = node;
    return true;
  }
  return false;
}

void TracePlan::note_router(OpenTrace& trace, int ttl, const ProbeReply& reply,
                            std::uint32_t rtt_us, SteadyTime received) {
  Slot& slot = trace.slot(ttl);
  const NodeId node = tree_.node(ttl, reply.from);
  if (node == kNoNode) return;
  const RouterId router = tree_.at(node).router;
  tree_.measured(node, rtt_us);
  if (reply.back_hops > 0) tree_.at(node).back_hops = static_cast<std::uint8_t>(reply.back_hops);
  pace_.answered(router, slot.asked == router, received);
  if (slot.node != kNoNode) {
    // Another router at this TTL, with the same flow: balanced by packet, or the route changed.
    tree_.balance(slot.node, node);
    return;
  }
  slot.node = node;
  last_node_[targets_[trace.target].address.is_v4() ? 1 : 0][static_cast<std::size_t>(ttl)] = node;
  slot.known = !claim(trace, node);
  if (ttl > 1) tree_.link(trace.slot(ttl - 1).node, node);
  if (ttl < trace.high) tree_.link(node, trace.slot(ttl + 1).node);
  check_loop(trace, node);
  if (limits_.local_stops && slot.known && ttl <= trace.first && !trace.pioneer &&
      !trace.backward_done && !relied_upon(trace, trace.low, ttl - 1))
    stop_backward(trace, ttl);
  TraceTarget& target = targets_[trace.target];
  if (!limits_.global_stops || !target.shares_block || ttl < trace.first) return;
  const std::uint32_t claimed =
      tree_.claim_beyond(router, user_block(target.address), trace.target);
  slot.claims_beyond = claimed == trace.target;
  if (slot.claims_beyond || trace.pioneer || target.reached) return;
  if (relied_upon(trace, ttl + 1, trace.high)) return;
  target.ended = TraceEnd::kAsAnother;
  target.like = claimed;
  stop_forward(trace, ttl);
}

// True when it is this trace that finds out what is before `node`: the first there, and up to a
// limit those that come when the one before has left a hole.
bool TracePlan::claim(const OpenTrace& trace, NodeId node) {
  const PathTree::Node& known = tree_.at(node);
  const bool left =
      known.claims > 0 && targets_[known.claimed_by].state == TraceTarget::State::kDone;
  const bool again = left && known.claims < kClaimsMax && !tree_.complete(node);
  if (known.claims > 0 && !again) return false;
  tree_.claim(node, trace.target);
  return true;
}

// Others have ended at one of these hops because we were there first: so we have to go on.
bool TracePlan::relied_upon(const OpenTrace& trace, int from, int to) const {
  for (int ttl = from; ttl <= to; ++ttl) {
    const Slot& slot = trace.slot(ttl);
    if (slot.node != kNoNode && (!slot.known || slot.claims_beyond)) return true;
  }
  return false;
}

// The same router again, with others in between: the packets go round.
void TracePlan::check_loop(OpenTrace& trace, NodeId node) {
  const RouterId router = tree_.at(node).router;
  int first = 0;
  for (int ttl = trace.low; ttl <= std::min(trace.high, trace.end); ++ttl) {
    const NodeId other = trace.slot(ttl).node;
    if (other == kNoNode || tree_.at(other).router != router) continue;
    if (first == 0) first = ttl;
    if (ttl - first < 2) continue;
    TraceTarget& target = targets_[trace.target];
    target.ended = TraceEnd::kReason;
    target.code = reason_number("a loop");
    stop_forward(trace, ttl);
    return;
  }
}

void TracePlan::note_end(OpenTrace& trace, int ttl, const ProbeReply& reply, std::uint32_t rtt_us) {
  TraceTarget& target = targets_[trace.target];
  Slot& slot = trace.slot(ttl);
  if (reply.kind == ProbeReply::Kind::kEchoReply || reply.from == target.address) {
    if (begin_nearer(trace, ttl)) return;
    slot.target = true;
    target.rtt_us = target.reached ? std::min(target.rtt_us, rtt_us) : rtt_us;
    target.back_hops = static_cast<std::uint8_t>(reply.back_hops);
    target.reached = true;
    target.ended = TraceEnd::kReached;
  } else if (!target.reached) {
    slot.node = tree_.node(ttl, reply.from);
    tree_.measured(slot.node, rtt_us);
    if (slot.node != kNoNode)
      pace_.answered(tree_.at(slot.node).router, slot.asked == tree_.at(slot.node).router,
                     begin_ + Micros(slot.sent_us[0]) + Micros(rtt_us));
    target.ended = TraceEnd::kUnreachable;
    target.code = static_cast<std::uint8_t>(reply.code);
    target.who = slot.node;
  }
  stop_forward(trace, ttl);
}

// The middle was behind the target: begins again where its neighbours have their last router.
bool TracePlan::begin_nearer(OpenTrace& trace, int ttl) {
  // Only as long as nothing else is known or decided: what is would be lost.
  if (!trace.blind || ttl != trace.first || trace.low != ttl || trace.high != ttl) return false;
  if (trace.forward_done || trace.backward_done || trace.slot(ttl).node != kNoNode) return false;
  if (targets_[trace.target].ended != TraceEnd::kNone) return false;
  const int last = neighbours_ttl(trace.target);
  if (last == 0 || last >= ttl - 1) return false;
  for (Slot& slot : trace.slots) {
    drop_waiting(trace, slot);
    slot = {};
  }
  trace.first = trace.low = last;
  trace.high = last - 1;
  trace.backward_done = last == 1;
  trace.blind = false;
  return true;
}

void TracePlan::stop_forward(OpenTrace& trace, int ttl) {
  for (int beyond = ttl + 1; beyond <= trace.high; ++beyond)
    drop_waiting(trace, trace.slot(beyond));
  trace.end = std::min(trace.end, ttl);
  trace.first = std::min(trace.first, trace.end);
}

void TracePlan::stop_backward(OpenTrace& trace, int ttl) {
  for (int below = trace.low; below < ttl; ++below) drop_waiting(trace, trace.slot(below));
  trace.low = std::max(trace.low, ttl);
  trace.backward_done = true;
}

void TracePlan::drop_waiting(OpenTrace& trace, Slot& slot) {
  const int waiting = std::popcount(static_cast<unsigned>(slot.waiting));
  trace.waiting -= waiting;
  in_flight_ -= waiting;
  slot.waiting = 0;
  pace_.leave_queue(std::exchange(slot.queued_at, kNoRouter));
}

void TracePlan::settle(OpenTrace& trace, SteadyTime now) {
  if (trace.target == kNobody) return;
  if (trace.checking_flows) {
    if (flows_done(trace)) finish(trace);
    return;
  }
  for (int ttl = std::min(trace.high, trace.end); ttl >= trace.low; --ttl) resolve(trace, ttl, now);
  settle_forward(trace);
  settle_backward(trace);
  if (!trace.forward_done || !trace.backward_done) return;
  if (unresolved(trace, trace.low, std::min(trace.high, trace.end)) > 0) return;
  if (!begin_flows(trace)) finish(trace);
}

void TracePlan::resolve(OpenTrace& trace, int ttl, SteadyTime now) {
  Slot& slot = trace.slot(ttl);
  if (slot.resolved || slot.attempts == 0) return;
  const bool enough = slot.replies >= limits_.replies_per_hop;
  if (!enough && (slot.waiting != 0 || !lost_for_good(trace, ttl, now))) return;
  slot.resolved = true;
  drop_waiting(trace, slot);
}

// Nothing is under way at this TTL: is there any sense in asking again?
bool TracePlan::lost_for_good(OpenTrace& trace, int ttl, SteadyTime now) {
  Slot& slot = trace.slot(ttl);
  // What was sent before the target turned serial was lost through no fault of the hops.
  const int tries = limits_.tries_per_hop + (trace.serial ? 1 : 0);
  // On the way back others have ended behind this hop and rely on us; and nobody knows who is
  // there.
  if (!trace.pioneer && ttl < trace.first)
    return slot.attempts >= std::min(tries + kTriesMoreForOthers, kAttemptsMax - 1);
  if (slot.heard) return slot.attempts >= tries;
  if (limits_.local_stops && ttl < trace.high) {
    const NodeId behind = trace.slot(ttl + 1).node;
    if (behind != kNoNode && tree_.complete(behind)) return true;  // others know who is here
  }
  if (slot.asked == kNoRouter) slot.asked = predict(trace, ttl);
  const SteadyTime::duration waited = now - trace.opened;
  if (waited < limits_.limited_wait && hole_for_others(trace, ttl) &&
      slot.attempts < std::min(tries + kTriesMoreForOthers, kAttemptsMax - 1))
    return false;
  if (!pace_.limits_itself(slot.asked)) return slot.attempts >= tries;
  if (mate_knows(trace, ttl) || slot.attempts >= kAttemptsMax) return true;
  if (waited >= limits_.limited_wait) return true;
  if (slot.queued_at != kNoRouter) return false;
  if (!pace_.queue(slot.asked, limits_.limited_wait - waited)) return true;
  slot.queued_at = slot.asked;
  return false;
}

// Others to the same block have ended, or will, on the way on before this hop: we are their word.
bool TracePlan::followed_to(const OpenTrace& trace, int ttl) const {
  for (int before = trace.first; before < ttl; ++before)
    if (trace.slot(before).claims_beyond) return true;
  return false;
}

bool TracePlan::hole_for_others(const OpenTrace& trace, int ttl) const {
  if (!followed_to(trace, ttl)) return false;
  for (int beyond = ttl + 1; beyond <= std::min(trace.high, trace.end); ++beyond)
    if (trace.slot(beyond).heard) return true;
  return false;
}

// The router is there but has no time for us, and another trace to the same block has met it: we
// take its word, and its path.
bool TracePlan::mate_knows(OpenTrace& trace, int ttl) const {
  const TraceTarget& target = targets_[trace.target];
  if (!limits_.global_stops || !target.shares_block || trace.pioneer) return false;
  if (followed_to(trace, ttl)) return false;
  const std::uint32_t mate = mate_of(trace.target, ttl);
  if (mate != kNobody) trace.neighbour = mate;
  return mate != kNobody;
}

void TracePlan::settle_forward(OpenTrace& trace) {
  if (trace.forward_done) return;
  TraceTarget& target = targets_[trace.target];
  int silent_run = 0;
  int resolved_to = trace.first - 1;
  for (int ttl = trace.first; ttl <= std::min(trace.high, trace.end); ++ttl) {
    const Slot& slot = trace.slot(ttl);
    if (!slot.resolved) break;
    resolved_to = ttl;
    silent_run = slot.heard ? 0 : silent_run + 1;
    // A limiting router that a mate has met: no need to go on (see mate_knows).
    if (!slot.heard && !target.reached && pace_.limits_itself(slot.asked) &&
        target.like == kNobody && mate_knows(trace, ttl)) {
      target.like = trace.neighbour;
      target.ended = TraceEnd::kAsAnother;
      stop_forward(trace, ttl);
      stop_backward(trace, ttl);
      break;
    }
  }
  if (resolved_to >= trace.end) trace.forward_done = true;
  if (silent_run < limits_.silent_hops_max || trace.forward_done) return;
  // Somebody farther away has answered: the silence is a hole, not the end.
  for (int ttl = resolved_to + 1; ttl <= std::min(trace.high, trace.end); ++ttl)
    if (trace.slot(ttl).heard) return;
  target.ended = TraceEnd::kSilent;
  stop_forward(trace, resolved_to);
  trace.forward_done = true;
}

void TracePlan::settle_backward(OpenTrace& trace) {
  if (trace.backward_done || trace.high < trace.first) return;
  int silent_run = 0;
  for (int ttl = trace.first; ttl >= trace.low; --ttl) {
    const Slot& slot = trace.slot(ttl);
    if (!slot.resolved) return;
    silent_run = slot.heard ? 0 : silent_run + 1;
    // Asking its neighbours instead would only bring them to their limits, too.
    const bool limited = ttl == trace.first && !slot.heard && pace_.limits_itself(slot.asked);
    if (ttl == 1 || limited || silent_run > limits_.silent_hops_max) {
      stop_backward(trace, ttl);
      return;
    }
  }
}

bool TracePlan::begin_flows(OpenTrace& trace) {
  const TraceTarget& target = targets_[trace.target];
  if (!trace.pioneer || limits_.flows_max < 2 || trace.serial || target.end > 0) return false;
  for (int ttl = trace.low; ttl <= std::min(trace.high, trace.end); ++ttl) {
    const NodeId node = trace.slot(ttl).node;
    if (node == kNoNode || tree_.at(node).flows_checked) continue;
    if (pace_.limits_itself(tree_.at(node).router)) continue;
    tree_.at(node).flows_checked = true;
    FlowCheck check;
    check.ttl = static_cast<std::uint8_t>(ttl);
    check.seen[check.seen_count++] = node;
    trace.flows.push_back(check);
  }
  trace.checking_flows = !trace.flows.empty();
  return trace.checking_flows;
}

void TracePlan::finish(OpenTrace& trace) {
  TraceTarget& target = targets_[trace.target];
  const int end = std::min(trace.high, trace.end);
  target.path = static_cast<std::uint32_t>(paths_.size());
  target.low = static_cast<std::uint8_t>(trace.low);
  target.end = static_cast<std::uint8_t>(std::max(0, end));
  NodeId before = kNoNode;
  for (int ttl = trace.low; ttl <= end; ++ttl) {
    Slot& slot = trace.slot(ttl);
    drop_waiting(trace, slot);
    tree_.link(before, slot.node);
    if (slot.node != kNoNode) before = slot.node;
    paths_.push_back({slot.target ? kNoNode : slot.node, slot.attempts});
    if (target.ended == TraceEnd::kSilent && slot.heard)
      target.code = static_cast<std::uint8_t>(ttl);
  }
  if (trace.low > end) target.end = 0;
  for (int ttl = end + 1; ttl <= trace.high; ++ttl) drop_waiting(trace, trace.slot(ttl));
  for (const FlowCheck& check : trace.flows) in_flight_ -= std::popcount(check.waiting);
  const int family = target.address.is_v4() ? 1 : 0;
  target.state = TraceTarget::State::kDone;
  if (const int learnt = learnt_ttl(target); learnt > 0) last_learnt_[family] = learnt;
  if (trace.pioneer) --pioneers_[family];
  free_.push_back(target.open);
  target.open = kNobody;
  trace.target = kNobody;
  --open_count_;
  --unfinished_;
  admit_again_ = true;
}

}  // namespace icon::discovery
