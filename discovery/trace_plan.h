// The decisions of a trace: which probe next, what an answer means, when to give up. Pure: times
// come in as arguments, nothing is sent or received here.
//
// The first traces, the pioneers, begin at TTL 1. All others begin where finished traces to
// addresses nearby have their last router, and go both ways until the stop sets end them.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "discovery/path_tree.h"
#include "discovery/probe.h"
#include "discovery/router_pace.h"
#include "discovery/trace.h"
#include "discovery/trace_state.h"

namespace icon::discovery {

class TracePlan {
 public:
  // `limits` must be in range (see check_limits); `targets` distinct, those that matter first.
  // `first_ttls`: where to begin with each target, 0 or absent where that is not known.
  TracePlan(std::vector<Address> targets, TraceMethod method, TraceLimits limits,
            std::uint64_t cookie, SteadyTime now, const std::vector<std::uint8_t>& first_ttls = {});

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
  bool done() const { return unfinished_ == 0; }
  // Not even the first traces, to those that matter most, have seen anybody.
  bool hopeless() const;
  // Ends every open trace with `reason` (the deadline).
  void stop(const std::string& reason);

  std::size_t target_count() const { return targets_.size(); }
  const Address& target(std::size_t index) const { return targets_[index].address; }
  std::uint64_t cookie() const { return cookie_; }
  std::uint64_t probes_sent() const { return probes_sent_; }
  bool ended_early(std::size_t index) const;  // by stop(): there may be more to learn
  TraceResult result(std::size_t index) const;
  std::vector<TraceResult> results() const;
  std::vector<RouterSeen> routers() const;

 private:
  // Which trace is next (trace_plan.cc).
  void order_targets(const std::vector<std::uint8_t>& first_ttls);
  void admit(SteadyTime now);
  std::optional<int> admissible(const TraceTarget& target, std::uint32_t index) const;
  bool may_begin_blind(const TraceTarget& target) const;
  void open(std::uint32_t index, int first_ttl, SteadyTime now);
  void wake_delayed(SteadyTime now);
  void delay(std::uint32_t open, SteadyTime until);
  void enqueue(std::uint32_t open);
  Probe send(OpenTrace& trace, const ProbeTag& tag, SteadyTime now);
  SteadyTime::duration timeout() const;
  // What one trace wants (trace_choice.cc).
  TraceChoice choose(OpenTrace& trace, SteadyTime now);
  TraceChoice paced(OpenTrace& trace, int ttl, SteadyTime now);
  TraceChoice choose_flow(OpenTrace& trace, SteadyTime now) const;
  int unresolved(const OpenTrace& trace, int from, int to) const;
  RouterId guess(const TraceTarget& target, int ttl);
  RouterId predict(OpenTrace& trace, int ttl) const;
  NodeId neighbours_node(OpenTrace& trace, int ttl) const;
  std::uint32_t mate_of(std::uint32_t target, int ttl) const;
  int neighbours_ttl(std::uint32_t target) const;
  template <class Fits>
  std::uint32_t neighbour_of(std::uint32_t target, Fits fits) const;
  int learnt_ttl(const TraceTarget& neighbour) const;
  NodeId node_of(std::uint32_t target, int ttl) const;
  // What an answer or its absence means (trace_answers.cc).
  std::optional<ProbeTag> tag_of(OpenTrace& trace, const ProbeReply& reply);
  bool on_flow_reply(OpenTrace& trace, const ProbeReply& reply, const ProbeTag& tag);
  void note_router(OpenTrace& trace, int ttl, const ProbeReply& reply, std::uint32_t rtt_us,
                   SteadyTime received);
  void note_end(OpenTrace& trace, int ttl, const ProbeReply& reply, std::uint32_t rtt_us);
  bool begin_nearer(OpenTrace& trace, int ttl);
  void stop_forward(OpenTrace& trace, int ttl);
  void stop_backward(OpenTrace& trace, int ttl);
  void drop_waiting(OpenTrace& trace, Slot& slot);
  void settle(OpenTrace& trace, SteadyTime now);
  void resolve(OpenTrace& trace, int ttl, SteadyTime now);
  bool mate_knows(OpenTrace& trace, int ttl) const;
  bool claim(const OpenTrace& trace, NodeId node);
  bool relied_upon(const OpenTrace& trace, int from, int to) const;
  void check_loop(OpenTrace& trace, NodeId node);
  bool lost_for_good(OpenTrace& trace, int ttl, SteadyTime now);
  bool followed_to(const OpenTrace& trace, int ttl) const;
  bool hole_for_others(const OpenTrace& trace, int ttl) const;
  void settle_forward(OpenTrace& trace);
  void settle_backward(OpenTrace& trace);
  bool begin_flows(OpenTrace& trace);
  void finish(OpenTrace& trace);
  bool flows_done(const OpenTrace& trace) const;
  std::uint8_t reason_number(const std::string& reason);
  // What it all amounts to (trace_result.cc).
  void fill_holes(std::vector<NodeId>& nodes) const;
  NodeId between_neighbours(std::size_t index, int ttl) const;
  std::string note_of(const TraceTarget& target) const;

  TraceMethod method_;
  TraceLimits limits_;
  std::uint64_t cookie_;
  SteadyTime begin_;
  std::vector<TraceTarget> targets_;
  std::vector<std::uint32_t> by_address_;  // targets, sorted
  std::vector<std::uint32_t> rank_;        // of a target in by_address_
  std::vector<OpenTrace> open_;
  std::vector<std::uint32_t> free_;     // of open_
  std::deque<std::uint32_t> unopened_;  // targets
  std::size_t open_count_ = 0;
  std::size_t pioneers_[2] = {0, 0};  // open now; IPv6 and IPv4
  int last_learnt_[2] = {0, 0};       // where the last finished trace would have begun
  int blind_left_ = 0;                // traces that may begin before any distance is learnt
  bool admit_again_ = true;
  // Of open_, what may have something to send. Pioneers first: the others learn from them.
  std::deque<std::uint32_t> ready_[2];
  std::priority_queue<DelayedTrace> delayed_;
  std::deque<PendingProbe> pending_;  // in the order sent; some are answered already
  std::array<NodeId, kTtlMax + 1> last_node_[2] = {};  // seen last at each TTL
  PathTree tree_;
  RouterPace pace_;
  RouterPace guess_pace_;  // of the unknown router before a block that several targets are in
  std::map<std::pair<std::uint64_t, int>, RouterId> guesses_;  // by block and TTL
  std::vector<PathStep> paths_;
  std::vector<std::string> reasons_;
  std::size_t unfinished_ = 0;
  int in_flight_ = 0;
  double tokens_ = 0;
  double burst_ = 0;
  SteadyTime tokens_at_;
  bool idle_ = false;  // next() found nothing to send although it might have
  std::uint32_t rtt_us_max_ = 0;
  std::uint32_t rtts_ = 0;  // measured so far
  std::uint64_t probes_sent_ = 0;
};

// Errors: kInvalid.
Status check_limits(const TraceLimits& limits);

}  // namespace icon::discovery
