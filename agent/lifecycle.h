// The life of an ICON as the agent lives it: START, ACTIVE, MIGRATING, REPLICATING, DRAINING,
// TERMINATED. Pure: step(event, now) returns what to do; no socket, no clock, no process inside.
// An event that makes no sense in a state is ignored and logged: peers and timers may be late.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "agent/lifecycle_types.h"
#include "base/clock.h"

namespace icon::agent {

// Every wait has a limit.
struct LifecycleLimits {
  Millis first_round{2'000};  // after the supervisor is found, and after a move
  Millis interval{10'000};    // between rounds: the policy's
  Millis round{60'000};
  Millis order{60'000};
  Millis stage{900'000};
  Millis wake{1'000};
  Millis verdict{30'000};
  Millis reconnect{500};
  Millis reconnect_max{30'000};  // doubles up to here
  Millis drain{60'000};
  Millis kill{10'000};
};

// Owner: the agent's loop; one thread. Its memory travels with the checkpoint.
class Lifecycle {
 public:
  explicit Lifecycle(LifecycleLimits limits) : limits_(limits) {}

  // `now_ms` only stamps changes of state. The actions are to be carried out in order.
  std::vector<Action> step(const Event& event, UtcMillis now_ms);

  State state() const { return state_; }
  UtcMillis since_ms() const { return since_ms_; }
  bool held() const { return held_; }
  bool has_supervisor() const { return supervisor_; }
  bool service_running() const { return service_running_; }
  // From CloseDescriptors until the wake: nothing may be opened.
  bool quiesced() const { return phase_ == Phase::kQuiesced; }
  std::int64_t epoch() const { return epoch_; }
  std::int64_t round() const { return round_; }
  const std::string& migration() const { return migration_; }
  const std::set<Timer>& armed() const { return armed_; }
  void set_interval(Millis interval) { limits_.interval = interval; }

 private:
  enum class Phase { kNone, kOrdering, kStaging, kQuiesced, kVerdict };
  struct Handler;
  friend struct Handler;

  LifecycleLimits limits_;
  State state_ = State::kStart;
  Phase phase_ = Phase::kNone;
  UtcMillis since_ms_ = 0;
  bool booted_ = false;
  bool service_running_ = false;
  bool supervisor_ = false;
  std::string host_;  // the supervisor that was found last
  bool said_no_supervisor_ = false;
  bool held_ = false;
  bool round_running_ = false;
  bool dry_ = false;          // the round that runs is a plan
  bool plan_wanted_ = false;  // after the round that runs
  bool decide_due_ = false;   // after the plan that runs
  bool draining_ = false;     // its users are to leave; DRAINING again when a migration ends
  bool drains_here_ = false;  // only because the lease here is over, and not before the migration
  bool stopping_ = false;     // the service was told to stop
  std::int64_t epoch_ = 0;
  std::int64_t round_ = 0;
  std::string migration_;
  Millis reconnect_delay_{0};
  std::set<Timer> armed_;
};

}  // namespace icon::agent
