#include "discovery/trace_plan.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace icon::discovery {
namespace {

constexpr double kBurstProbes = 32;
constexpr double kBurstSeconds = 0.004;  // of a high rate: the loop sleeps a millisecond or two
// Once so many round trips are known, a probe is given up after a few times the longest of them.
constexpr std::uint32_t kRttsTelling = 16;
constexpr int kRttsWaited = 3;
constexpr Millis kTimeoutSlack{50};
constexpr std::size_t kReasonsMax = 16;

}  // namespace

Status check_limits(const TraceLimits& limits) {
  const auto within = [](std::int64_t value, std::int64_t min, std::int64_t max) {
    return value >= min && value <= max;
  };
  struct Range {
    const char* name;
    std::int64_t value;
    std::int64_t min;
    std::int64_t max;
  };
  const Range ranges[] = {
      {"ttl_max", limits.ttl_max, 1, kTtlMax},
      // One attempt is kept for targets whose answers cannot be told apart at first.
      {"tries_per_hop", limits.tries_per_hop, 1, kAttemptsMax - 1},
      {"replies_per_hop", limits.replies_per_hop, 1, limits.tries_per_hop},
      {"window", limits.window, 1, kTtlMax},
      {"silent_hops_max", limits.silent_hops_max, 1, kTtlMax},
      {"first_ttl", limits.first_ttl, 0, limits.ttl_max},
      {"pioneers_max", limits.pioneers_max, 1, 1024},
      {"middle_ttl", limits.middle_ttl, 0, kTtlMax},
      {"flows_max", limits.flows_max, 1, kFlowsMax},
      {"probes_per_second", limits.probes_per_second, 1, 1'000'000},
      {"probes_per_router_per_second", limits.probes_per_router_per_second, 1, 1'000'000},
      {"probes_in_flight_max", limits.probes_in_flight_max, 1, 65'536},
      {"open_max", static_cast<std::int64_t>(limits.open_max), 1, 65'536},
      {"targets_max", static_cast<std::int64_t>(limits.targets_max), 0, 1'000'000},
      {"probe_timeout", limits.probe_timeout.count(), 1, 60'000},
      {"limited_wait", limits.limited_wait.count(), 0, 60'000},
      {"deadline", limits.deadline.count(), 1, 600'000},
  };
  for (const Range& range : ranges)
    if (!within(range.value, range.min, range.max))
      return fail(Code::kInvalid, std::string("trace: ") + range.name);
  return {};
}

TracePlan::TracePlan(std::vector<Address> targets, TraceMethod method, TraceLimits limits,
                     std::uint64_t cookie, SteadyTime now,
                     const std::vector<std::uint8_t>& first_ttls)
    : method_(method),
      limits_(limits),
      cookie_(cookie),
      begin_(now),
      pace_(limits.probes_per_router_per_second, now),
      guess_pace_(limits.probes_per_router_per_second, now),
      tokens_at_(now) {
  ICON_ASSERT(check_limits(limits));
  // A guess costs a probe or two where ways are short: only for who lets a router be asked by all.
  if (limits_.global_stops && limits_.middle_ttl > 0 && pace_.burst() >= std::ssize(targets))
    blind_left_ = pace_.burst();
  burst_ = std::max(kBurstProbes, limits_.probes_per_second * kBurstSeconds);
  tokens_ = burst_;
  targets_.resize(targets.size());
  for (std::size_t i = 0; i < targets.size(); ++i) targets_[i].address = targets[i];
  unfinished_ = targets_.size();
  order_targets(first_ttls);
}

void TracePlan::order_targets(const std::vector<std::uint8_t>& first_ttls) {
  const auto count = static_cast<std::uint32_t>(targets_.size());
  by_address_.resize(count);
  rank_.resize(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    by_address_[i] = i;
    unopened_.push_back(i);
    if (i < first_ttls.size())
      targets_[i].first_ttl =
          static_cast<std::uint8_t>(std::min<int>(first_ttls[i], limits_.ttl_max));
  }
  std::sort(by_address_.begin(), by_address_.end(), [this](std::uint32_t a, std::uint32_t b) {
    return targets_[a].address < targets_[b].address;
  });
  for (std::uint32_t rank = 0; rank < count; ++rank) rank_[by_address_[rank]] = rank;
  for (std::uint32_t begin = 0, end = 0; begin < count; begin = end) {
    const auto block = user_block(targets_[by_address_[begin]].address);
    std::uint32_t first = by_address_[begin];
    for (end = begin; end < count && user_block(targets_[by_address_[end]].address) == block; ++end)
      first = std::min(first, by_address_[end]);
    for (std::uint32_t rank = begin; rank < end; ++rank) {
      targets_[by_address_[rank]].shares_block = end - begin > 1;
      targets_[by_address_[rank]].block_first = first;
    }
  }
}

// Where the trace may begin, if it may begin now; 0 stands for a pioneer.
std::optional<int> TracePlan::admissible(const TraceTarget& target, std::uint32_t index) const {
  if (!limits_.local_stops) return 0;
  if (target.first_ttl > 0) return target.first_ttl;
  const int family = target.address.is_v4() ? 1 : 0;
  const bool learnt = last_learnt_[family] > 0;
  const bool spread = target.block_first == index || !limits_.global_stops || open_count_ == 0;
  if (!learnt && spread && pioneers_[family] < static_cast<std::size_t>(limits_.pioneers_max))
    return 0;
  if (limits_.first_ttl > 0) return limits_.first_ttl;
  if (!learnt && may_begin_blind(target)) return limits_.middle_ttl;
  if (!learnt) return std::nullopt;
  const int ttl = neighbours_ttl(index);
  return ttl > 0 ? ttl : last_learnt_[family];
}

// A pioneer is asking every router on the way: one probe anywhere on it is enough to see that
// this target's way is his, and it saves a round trip to ask before his answers are here.
bool TracePlan::may_begin_blind(const TraceTarget& target) const {
  const TraceTarget& first = targets_[target.block_first];
  return blind_left_ > 0 && first.state == TraceTarget::State::kOpen && open_[first.open].pioneer;
}

void TracePlan::admit(SteadyTime now) {
  if (!admit_again_) return;
  admit_again_ = false;
  std::vector<std::uint32_t> skipped;
  while (!unopened_.empty() && open_count_ < limits_.open_max) {
    const std::uint32_t index = unopened_.front();
    unopened_.pop_front();
    if (const auto first = admissible(targets_[index], index)) {
      open(index, *first, now);
    } else {
      skipped.push_back(index);
    }
  }
  unopened_.insert(unopened_.begin(), skipped.begin(), skipped.end());
}

void TracePlan::open(std::uint32_t index, int first_ttl, SteadyTime now) {
  std::uint32_t place = 0;
  if (free_.empty()) {
    place = static_cast<std::uint32_t>(open_.size());
    open_.emplace_back();
  } else {
    place = free_.back();
    free_.pop_back();
  }
  OpenTrace& trace = open_[place];
  std::vector<Slot> slots = std::move(trace.slots);
  const bool queued = trace.queued;
  trace = OpenTrace{};
  trace.queued = queued;
  slots.assign(static_cast<std::size_t>(limits_.ttl_max), Slot{});
  trace.slots = std::move(slots);
  TraceTarget& target = targets_[index];
  target.state = TraceTarget::State::kOpen;
  target.open = place;
  trace.target = index;
  trace.opened = now;
  trace.end = limits_.ttl_max;
  trace.pioneer = first_ttl == 0;
  const int family = target.address.is_v4() ? 1 : 0;
  trace.blind = !trace.pioneer && target.first_ttl == 0 && limits_.first_ttl == 0 &&
                last_learnt_[family] == 0;
  if (trace.blind) --blind_left_;
  trace.first = std::clamp(first_ttl, 1, limits_.ttl_max);
  trace.low = trace.first;
  trace.high = trace.first - 1;
  trace.backward_done = trace.first == 1;
  if (trace.pioneer) ++pioneers_[family];
  ++open_count_;
  enqueue(place);
}

void TracePlan::enqueue(std::uint32_t place) {
  OpenTrace& trace = open_[place];
  if (trace.queued || trace.target == kNobody) return;
  trace.queued = true;
  ready_[trace.pioneer ? 0 : 1].push_back(place);
}

void TracePlan::delay(std::uint32_t place, SteadyTime until) {
  OpenTrace& trace = open_[place];
  if (trace.delayed != SteadyTime{} && trace.delayed <= until) return;
  trace.delayed = until;
  delayed_.push({until, place});
}

void TracePlan::wake_delayed(SteadyTime now) {
  while (!delayed_.empty() && delayed_.top().at <= now) {
    const DelayedTrace due = delayed_.top();
    delayed_.pop();
    OpenTrace& trace = open_[due.open];
    if (trace.target == kNobody || trace.delayed != due.at) continue;  // it has moved on
    trace.delayed = {};
    settle(trace, now);
    enqueue(due.open);
  }
}

std::optional<Probe> TracePlan::next(SteadyTime now) {
  const std::chrono::duration<double> passed = now - tokens_at_;
  tokens_ = std::min(burst_, tokens_ + passed.count() * limits_.probes_per_second);
  tokens_at_ = now;
  idle_ = false;
  wake_delayed(now);
  if (tokens_ < 1 || in_flight_ >= limits_.probes_in_flight_max) return std::nullopt;
  admit(now);
  // One probe of each open trace in turn: none waits for another's silence.
  while (!ready_[0].empty() || !ready_[1].empty()) {
    auto& ready = ready_[ready_[0].empty() ? 1 : 0];
    const std::uint32_t place = ready.front();
    ready.pop_front();
    OpenTrace& trace = open_[place];
    trace.queued = false;
    if (trace.target == kNobody) continue;
    const TraceChoice choice = choose(trace, now);
    if (choice.tag) {
      const Probe probe = send(trace, *choice.tag, now);
      enqueue(place);
      return probe;
    }
    if (choice.wait) delay(place, *choice.wait);
  }
  idle_ = true;
  return std::nullopt;
}

Probe TracePlan::send(OpenTrace& trace, const ProbeTag& tag, SteadyTime now) {
  const TraceTarget& target = targets_[trace.target];
  RouterId router = kNoRouter;
  if (tag.flow > 0) {
    for (FlowCheck& check : trace.flows) {
      if (check.ttl != tag.ttl) continue;
      check.sent = static_cast<std::uint16_t>(check.sent | 1 << tag.flow);
      check.waiting = static_cast<std::uint16_t>(check.waiting | 1 << tag.flow);
      router = tree_.at(check.seen[0]).router;
    }
  } else {
    Slot& slot = trace.slot(tag.ttl);
    const auto attempt = static_cast<std::size_t>(tag.attempt - 1);
    slot.sent_us[attempt] =
        static_cast<std::uint32_t>(std::chrono::duration_cast<Micros>(now - begin_).count());
    slot.attempts = static_cast<std::uint8_t>(tag.attempt);
    slot.waiting = static_cast<std::uint8_t>(slot.waiting | 1 << attempt);
    router = slot.asked = predict(trace, tag.ttl);
    pace_.leave_queue(std::exchange(slot.queued_at, kNoRouter));
    if (router == kNoRouter) guess_pace_.sent(guess(target, tag.ttl), false, now);
    trace.high = std::max(trace.high, tag.ttl);
    trace.low = std::min(trace.low, tag.ttl);
  }
  pace_.sent(router, tag.attempt > 1, now);
  ++trace.waiting;
  ++in_flight_;
  ++probes_sent_;
  tokens_ -= 1;
  pending_.push_back({now, {trace.target, tag}});
  return {trace.target, tag};
}

void TracePlan::unsendable(const Probe& probe, const std::string& reason) {
  TraceTarget& target = targets_[probe.target];
  if (target.state != TraceTarget::State::kOpen) return;
  target.ended = TraceEnd::kReason;
  target.code = reason_number("cannot send: " + reason);
  finish(open_[target.open]);
}

std::uint8_t TracePlan::reason_number(const std::string& reason) {
  auto found = std::find(reasons_.begin(), reasons_.end(), reason);
  if (found == reasons_.end() && reasons_.size() == kReasonsMax) found = reasons_.end() - 1;
  if (found == reasons_.end()) found = reasons_.insert(found, reason);
  return static_cast<std::uint8_t>(found - reasons_.begin());
}

SteadyTime::duration TracePlan::timeout() const {
  if (rtts_ < kRttsTelling) return limits_.probe_timeout;
  return std::min<SteadyTime::duration>(limits_.probe_timeout,
                                        kRttsWaited * Micros(rtt_us_max_) + kTimeoutSlack);
}

void TracePlan::expire(SteadyTime now) {
  while (!pending_.empty() && now - pending_.front().sent >= timeout()) {
    const Probe probe = pending_.front().probe;
    pending_.pop_front();
    const TraceTarget& target = targets_[probe.target];
    if (target.state != TraceTarget::State::kOpen) continue;
    OpenTrace& trace = open_[target.open];
    if (probe.tag.flow > 0) {
      for (FlowCheck& check : trace.flows) {
        if (check.ttl != probe.tag.ttl || (check.waiting >> probe.tag.flow & 1) == 0) continue;
        check.waiting = static_cast<std::uint16_t>(check.waiting & ~(1 << probe.tag.flow));
        --trace.waiting;
        --in_flight_;
      }
    } else {
      Slot& slot = trace.slot(probe.tag.ttl);
      const int bit = 1 << (probe.tag.attempt - 1);
      if ((slot.waiting & bit) == 0) continue;
      slot.waiting = static_cast<std::uint8_t>(slot.waiting & ~bit);
      --trace.waiting;
      --in_flight_;
      if (slot.asked == kNoRouter) slot.asked = predict(trace, probe.tag.ttl);
      pace_.lost(slot.asked);
    }
    const std::uint32_t place = target.open;
    settle(trace, now);
    enqueue(place);
  }
}

SteadyTime TracePlan::wait_until(SteadyTime now) const {
  SteadyTime until = now + limits_.probe_timeout;
  if (!pending_.empty()) until = std::min(until, pending_.front().sent + timeout());
  if (!delayed_.empty()) until = std::min(until, delayed_.top().at);
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

bool TracePlan::hopeless() const {
  const std::size_t finished = targets_.size() - unfinished_;
  return rtts_ == 0 && finished >= static_cast<std::size_t>(limits_.pioneers_max);
}

void TracePlan::stop(const std::string& reason) {
  const std::uint8_t number = reason_number(reason);
  for (TraceTarget& target : targets_) {
    if (target.state == TraceTarget::State::kDone) continue;
    if (target.ended == TraceEnd::kNone) {
      target.ended = TraceEnd::kStopped;
      target.code = number;
    }
    if (target.state == TraceTarget::State::kOpen) {
      finish(open_[target.open]);
    } else {
      target.state = TraceTarget::State::kDone;
      --unfinished_;
    }
  }
  unopened_.clear();
}

}  // namespace icon::discovery
