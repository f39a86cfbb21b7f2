// The decisions of a trace: which probe next, what an answer means, when to give up. Pure: times
// come in as arguments, nothing is sent or received here.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "discovery/probe.h"
#include "discovery/trace.h"

namespace icon::discovery {

struct Probe {
  std::size_t target = 0;  // index
  ProbeTag tag;
};

class TracePlan {
 public:
  // `limits` must be in range (see check_limits); `targets` distinct.
  TracePlan(std::vector<Address> targets, TraceMethod method, TraceLimits limits,
            std::uint64_t cookie, SteadyTime now);

  // The next probe that may leave at `now`, which then counts as sent. Nothing: wait_until() says
  // until when.
  std::optional<Probe> next(SteadyTime now);
  // The kernel will not send to this target: its trace ends with `reason`.
  void unsendable(const Probe& probe, const std::string& reason);
  // False: no answer to anything we sent; nothing changes.
  bool on_reply(const ProbeReply& reply, SteadyTime received);
  // Gives up on probes that are older than the limit.
  void expire(SteadyTime now);
  // When to call next() or expire() again, unless an answer comes first.
  SteadyTime wait_until(SteadyTime now) const;
  bool done() const { return open_targets_ == 0; }
  // Ends every open trace with `reason` (the deadline).
  void stop(const std::string& reason);

  const Address& target(std::size_t index) const { return targets_[index].address; }
  std::uint64_t cookie() const { return cookie_; }
  std::uint64_t probes_sent() const { return probes_sent_; }
  std::vector<TraceResult> results() const;

 private:
  struct Attempt {
    SteadyTime sent;
    bool waiting = false;
    bool answered = false;
  };
  struct Slot {  // one TTL of one target
    std::vector<Attempt> attempts;
    std::optional<Address> from;
    Micros rtt_min{0};
    int replies = 0;
    bool resolved = false;
  };
  struct Target {
    Address address;
    std::vector<Slot> slots;  // [ttl - 1]
    int sent_ttl = 0;         // the largest TTL sent so far
    int end_ttl = 0;          // no TTL beyond it is of interest
    int waiting = 0;          // probes under way
    bool reached = false;
    bool serial = false;  // answers carry no tag: one probe at a time
    bool done = false;
    std::string note;
  };
  struct Pending {
    SteadyTime sent;
    Probe probe;
  };

  std::optional<ProbeTag> choose(Target& target) const;
  std::optional<ProbeTag> tag_of(Target& target, const ProbeReply& reply);
  void end_at(Target& target, int ttl);
  void drop_waiting(Target& target, Slot& slot);
  void settle(Target& target);
  void finish(Target& target, std::string note);

  TraceMethod method_;
  TraceLimits limits_;
  std::uint64_t cookie_;
  std::vector<Target> targets_;
  std::map<Address, std::size_t> index_;
  std::deque<Pending> pending_;  // in the order sent; some are answered already
  std::size_t open_targets_ = 0;
  int in_flight_ = 0;
  std::size_t cursor_ = 0;
  double tokens_ = 0;
  SteadyTime tokens_at_;
  bool idle_ = false;  // next() found nothing to send although it might have
  std::uint64_t probes_sent_ = 0;
};

// Errors: kInvalid.
Status check_limits(const TraceLimits& limits);

}  // namespace icon::discovery
