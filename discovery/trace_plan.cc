#include "discovery/trace_plan.h"

#include <algorithm>

#include "base/assert.h"

namespace icon::discovery {
namespace {

constexpr double kBurstProbes = 32;

}  // namespace

Status check_limits(const TraceLimits& limits) {
  const auto within = [](std::int64_t value, std::int64_t min, std::int64_t max) {
    return value >= min && value <= max;
  };
  if (!within(limits.ttl_max, 1, kTtlMax)) return fail(Code::kInvalid, "trace: ttl_max");
  // One attempt is kept for targets whose answers cannot be told apart at first.
  if (!within(limits.tries_per_hop, 1, kAttemptsMax - 1))
    return fail(Code::kInvalid, "trace: tries_per_hop");
  if (!within(limits.replies_per_hop, 1, limits.tries_per_hop))
    return fail(Code::kInvalid, "trace: replies_per_hop");
  if (!within(limits.window, 1, kTtlMax)) return fail(Code::kInvalid, "trace: window");
  if (!within(limits.silent_hops_max, 1, kTtlMax))
    return fail(Code::kInvalid, "trace: silent_hops_max");
  if (!within(limits.probes_per_second, 1, 1'000'000))
    return fail(Code::kInvalid, "trace: probes_per_second");
  if (!within(limits.probes_in_flight_max, 1, 65'536))
    return fail(Code::kInvalid, "trace: probes_in_flight_max");
  if (!within(limits.probe_timeout.count(), 1, 60'000))
    return fail(Code::kInvalid, "trace: probe_timeout");
  if (!within(limits.deadline.count(), 1, 600'000)) return fail(Code::kInvalid, "trace: deadline");
  return {};
}

TracePlan::TracePlan(std::vector<Address> targets, TraceMethod method, TraceLimits limits,
                     std::uint64_t cookie, SteadyTime now)
    : method_(method), limits_(limits), cookie_(cookie), tokens_(kBurstProbes), tokens_at_(now) {
  ICON_ASSERT(check_limits(limits));
  targets_.reserve(targets.size());
  for (const Address& address : targets) {
    Target target;
    target.address = address;
    target.end_ttl = limits_.ttl_max;
    target.slots.resize(static_cast<std::size_t>(limits_.ttl_max));
    index_.emplace(address, targets_.size());
    targets_.push_back(std::move(target));
  }
  open_targets_ = targets_.size();
}

std::optional<Probe> TracePlan::next(SteadyTime now) {
  const std::chrono::duration<double> passed = now - tokens_at_;
  tokens_ = std::min(kBurstProbes, tokens_ + passed.count() * limits_.probes_per_second);
  tokens_at_ = now;
  idle_ = false;
  if (tokens_ < 1 || in_flight_ >= limits_.probes_in_flight_max) return std::nullopt;
  // One probe of each target in turn: no target waits for another's silence.
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    const std::size_t at = (cursor_ + i) % targets_.size();
    Target& target = targets_[at];
    const auto tag = choose(target);
    if (!tag) continue;
    Slot& slot = target.slots[static_cast<std::size_t>(tag->ttl - 1)];
    slot.attempts.push_back({now, true, false});
    target.sent_ttl = std::max(target.sent_ttl, tag->ttl);
    ++target.waiting;
    ++in_flight_;
    ++probes_sent_;
    tokens_ -= 1;
    cursor_ = at + 1;
    pending_.push_back({now, {at, *tag}});
    return Probe{at, *tag};
  }
  idle_ = true;
  return std::nullopt;
}

std::optional<ProbeTag> TracePlan::choose(Target& target) const {
  if (target.done || (target.serial && target.waiting > 0)) return std::nullopt;
  int unresolved = 0;
  const int known = std::min(target.sent_ttl, target.end_ttl);
  for (int ttl = 1; ttl <= known; ++ttl) {
    const Slot& slot = target.slots[static_cast<std::size_t>(ttl - 1)];
    if (slot.resolved) continue;
    ++unresolved;
    const bool waiting = std::any_of(slot.attempts.begin(), slot.attempts.end(),
                                     [](const Attempt& attempt) { return attempt.waiting; });
    if (!waiting) return ProbeTag{ttl, static_cast<int>(slot.attempts.size()) + 1};
  }
  if (unresolved < limits_.window && target.sent_ttl < target.end_ttl)
    return ProbeTag{target.sent_ttl + 1, 1};
  return std::nullopt;
}

void TracePlan::unsendable(const Probe& probe, const std::string& reason) {
  Target& target = targets_[probe.target];
  if (!target.done) finish(target, "cannot send: " + reason);
}

std::optional<ProbeTag> TracePlan::tag_of(Target& target, const ProbeReply& reply) {
  if (reply.tag) return reply.tag;
  // The router quoted too little. With one probe under way it can only be that one; with more
  // there is no telling, so from here on this target gets one at a time.
  if (target.waiting != 1) {
    target.serial = true;
    return std::nullopt;
  }
  for (int ttl = 1; ttl <= target.sent_ttl; ++ttl) {
    const auto& attempts = target.slots[static_cast<std::size_t>(ttl - 1)].attempts;
    for (std::size_t i = 0; i < attempts.size(); ++i)
      if (attempts[i].waiting) return ProbeTag{ttl, static_cast<int>(i) + 1};
  }
  return std::nullopt;
}

bool TracePlan::on_reply(const ProbeReply& reply, SteadyTime received) {
  if (reply.cookie && *reply.cookie != cookie_) return false;
  const auto found = index_.find(reply.target);
  if (found == index_.end()) return false;
  Target& target = targets_[found->second];
  if (target.done) return false;
  const auto tag = tag_of(target, reply);
  if (!tag || tag->ttl > target.end_ttl) return false;
  Slot& slot = target.slots[static_cast<std::size_t>(tag->ttl - 1)];
  const auto place = static_cast<std::size_t>(tag->attempt - 1);
  if (place >= slot.attempts.size()) return false;
  Attempt& attempt = slot.attempts[place];
  if (attempt.answered || received < attempt.sent) return false;
  attempt.answered = true;
  if (attempt.waiting) {
    attempt.waiting = false;
    --target.waiting;
    --in_flight_;
  }
  const auto rtt = std::chrono::duration_cast<Micros>(received - attempt.sent);
  // A second router at this TTL (the route changed meanwhile) does not replace the first, and its
  // RTT says nothing about it.
  if (!slot.from) {
    slot.from = reply.from;
    slot.rtt_min = rtt;
  } else if (*slot.from == reply.from) {
    slot.rtt_min = std::min(slot.rtt_min, rtt);
  }
  ++slot.replies;
  if (reply.kind != ProbeReply::Kind::kTimeExceeded) {
    const bool reached = reply.kind == ProbeReply::Kind::kEchoReply || reply.from == target.address;
    if (reached) {
      target.reached = true;
      target.note.clear();
    } else if (!target.reached) {
      target.note =
          "unreachable, code " + std::to_string(reply.code) + ", says " + reply.from.to_string();
    }
    end_at(target, tag->ttl);
  }
  settle(target);
  return true;
}

void TracePlan::end_at(Target& target, int ttl) {
  for (int beyond = ttl + 1; beyond <= target.sent_ttl; ++beyond)
    drop_waiting(target, target.slots[static_cast<std::size_t>(beyond - 1)]);
  target.end_ttl = std::min(target.end_ttl, ttl);
}

void TracePlan::drop_waiting(Target& target, Slot& slot) {
  for (Attempt& attempt : slot.attempts) {
    if (!attempt.waiting) continue;
    attempt.waiting = false;
    --target.waiting;
    --in_flight_;
  }
}

void TracePlan::settle(Target& target) {
  if (target.done) return;
  // What was sent before the target turned serial was lost through no fault of the hops.
  const auto tries = static_cast<std::size_t>(limits_.tries_per_hop + (target.serial ? 1 : 0));
  int silent_run = 0;
  bool whole = true;  // every TTL so far is resolved
  int last_answered = 0;
  for (int ttl = 1; ttl <= target.end_ttl; ++ttl) {
    Slot& slot = target.slots[static_cast<std::size_t>(ttl - 1)];
    const bool waiting = std::any_of(slot.attempts.begin(), slot.attempts.end(),
                                     [](const Attempt& attempt) { return attempt.waiting; });
    const bool exhausted = !waiting && slot.attempts.size() >= tries;
    if (slot.replies >= limits_.replies_per_hop || exhausted) {
      slot.resolved = true;
      drop_waiting(target, slot);
    }
    if (slot.from) last_answered = ttl;
    whole = whole && slot.resolved;
    if (whole) silent_run = slot.from ? 0 : silent_run + 1;
  }
  if (whole) return finish(target, std::move(target.note));
  if (silent_run < limits_.silent_hops_max) return;
  // Somebody farther away has answered: the silence is a hole, not the end.
  int resolved_to = 0;
  while (target.slots[static_cast<std::size_t>(resolved_to)].resolved) ++resolved_to;
  if (last_answered <= resolved_to - silent_run)
    finish(target, "silent after hop " + std::to_string(last_answered));
}

void TracePlan::finish(Target& target, std::string note) {
  target.done = true;
  target.note = std::move(note);
  for (Slot& slot : target.slots) drop_waiting(target, slot);
  --open_targets_;
}

void TracePlan::expire(SteadyTime now) {
  while (!pending_.empty() && now - pending_.front().sent >= limits_.probe_timeout) {
    const Probe probe = pending_.front().probe;
    pending_.pop_front();
    Target& target = targets_[probe.target];
    Slot& slot = target.slots[static_cast<std::size_t>(probe.tag.ttl - 1)];
    Attempt& attempt = slot.attempts[static_cast<std::size_t>(probe.tag.attempt - 1)];
    if (!attempt.waiting) continue;
    attempt.waiting = false;
    --target.waiting;
    --in_flight_;
    settle(target);
  }
}

SteadyTime TracePlan::wait_until(SteadyTime now) const {
  SteadyTime until = now + limits_.probe_timeout;
  if (!pending_.empty()) until = std::min(until, pending_.front().sent + limits_.probe_timeout);
  const bool only_pace = !idle_ && in_flight_ < limits_.probes_in_flight_max;
  if (only_pace) {
    const double missing = std::max(0.0, 1 - tokens_) / limits_.probes_per_second;
    // Never less than a millisecond when pacing: the next few leave as one batch.
    const auto pause = std::max<SteadyTime::duration>(
        Millis(1),
        std::chrono::duration_cast<SteadyTime::duration>(std::chrono::duration<double>(missing)));
    until = std::min(until, now + pause);
  }
  return std::max(until, now);
}

void TracePlan::stop(const std::string& reason) {
  for (Target& target : targets_)
    if (!target.done) finish(target, target.note.empty() ? reason : target.note);
}

std::vector<TraceResult> TracePlan::results() const {
  std::vector<TraceResult> results;
  for (const Target& target : targets_) {
    TraceResult result;
    result.target = target.address;
    result.method = method_;
    result.reached = target.reached;
    result.note = target.note;
    for (int ttl = 1; ttl <= std::min(target.sent_ttl, target.end_ttl); ++ttl) {
      const Slot& slot = target.slots[static_cast<std::size_t>(ttl - 1)];
      result.hops.push_back(
          {ttl, slot.from, slot.rtt_min.count(), static_cast<int>(slot.attempts.size()), false});
    }
    while (!result.hops.empty() && !result.hops.back().address) result.hops.pop_back();
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace icon::discovery
