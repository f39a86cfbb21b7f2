// How often one router may be asked. Every router has a budget; one that answers some and lets
// others go unanswered limits itself (Linux: six at once, then one a second), and is asked again
// only as often as it answers. Pure: times come in as arguments.
#pragma once

#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "discovery/path_tree.h"

namespace icon::discovery {

class RouterPace {
 public:
  struct Counts {
    std::uint32_t probes = 0;  // that met this router, as far as can be known
    std::uint32_t answers = 0;
    std::uint32_t probes_per_second_max = 0;
    bool limited = false;  // it was seen to limit itself
  };

  RouterPace(int per_second_max, SteadyTime begin);

  // So many probes at once at most.
  int burst() const { return static_cast<int>(burst_); }
  // When a probe may leave that this router will probably answer; `now` or earlier: at once. What
  // is `repeated` after a loss waits longer at a router that limits itself.
  SteadyTime ready_at(RouterId router, bool repeated, SteadyTime now) const;
  void sent(RouterId router, bool repeated, SteadyTime at);
  // `predicted`: sent() was told about this probe.
  void answered(RouterId router, bool predicted, SteadyTime at);
  void lost(RouterId router);
  // Of the probes that wait to be repeated at a router that limits itself: true if there is a place
  // that gets its turn within `wait`.
  bool queue(RouterId router, SteadyTime::duration wait);
  void leave_queue(RouterId router);
  bool limits_itself(RouterId router) const;
  Counts counts(RouterId router) const;

 private:
  struct Bucket {
    float tokens = 0;
    float rate = 0;
    SteadyTime at{};
  };
  struct State {
    Bucket budget;
    Bucket repeats;  // used while it limits itself
    std::uint32_t probes = 0;
    std::uint32_t answers = 0;
    std::uint32_t second = 0;  // since the begin
    std::uint32_t probes_in_second = 0;
    std::uint32_t probes_per_second_max = 0;
    std::uint32_t queued = 0;
    std::uint8_t losses = 0;  // one bit for each of the last eight
    bool limiting = false;
    bool was_limiting = false;
  };
  State& state(RouterId router);
  State fresh() const;
  void count(State& state, SteadyTime at);
  static void outcome(State& state, bool lost);

  float per_second_max_;
  float burst_;
  SteadyTime begin_;
  std::vector<State> states_;  // by router
  int limiting_seen_ = 0;      // routers that were found to limit themselves
};

}  // namespace icon::discovery
