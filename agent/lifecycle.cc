#include "agent/lifecycle.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace icon::agent {

using action::MoveOutcome;

// One step: reads and changes the lifecycle, collects the actions.
struct Lifecycle::Handler {
  Lifecycle& self;
  const Event& event;
  const UtcMillis now_ms;
  std::vector<Action> actions = {};

  void operator()(const event::Boot&);
  void operator()(const event::ServiceStarted&);
  void operator()(const event::ServiceExited& exited);
  void operator()(const event::SupervisorFound& found);
  void operator()(const event::SupervisorLost&);
  void operator()(const event::Quiesce& quiesce);
  void operator()(const event::Woken&);
  void operator()(const event::Moved& moved);
  void operator()(const event::RolledBack& rolled_back);
  void operator()(const event::OperatorMigrate& migrate);
  void operator()(const event::Replicate& replicate);
  void operator()(const event::ReplicaStarted& started);
  void operator()(const event::Born& born);
  void operator()(const event::Hold&) { set_held(true); }
  void operator()(const event::Unhold&) { set_held(false); }
  void operator()(const event::Plan&);
  void operator()(const event::DiscoveryDone& done);
  void operator()(const event::OffersDone& done);
  void operator()(const event::DecidedStay& decided);
  void operator()(const event::DecidedMove& decided);
  void operator()(const event::DecidedReplica& decided);
  void operator()(const event::DecidedEnd& decided);
  void operator()(const event::RoundFailed& failed);
  void operator()(const event::OrderAccepted& accepted);
  void operator()(const event::OrderFailed& failed);
  void operator()(const event::Drain& drain);
  void operator()(const event::ConnectionsGone&);
  void operator()(const event::StopSignal& stop);
  void operator()(const event::OtherSignal& other);
  void operator()(const event::TimerFired& fired);
  void fired(Timer timer);

  bool alive() const { return self.state_ != State::kStart && self.state_ != State::kTerminated; }
  bool under_way() const { return self.phase_ != Phase::kNone; }
  bool can_speak() const { return self.supervisor_ && !self.quiesced(); }
  bool my_round(std::int64_t round) const {
    return self.state_ == State::kActive && self.round_running_ && round == self.round_;
  }

  void act(Action action) { actions.push_back(std::move(action)); }
  void note(std::string_view name, std::string detail) {
    act(action::Log{"lifecycle." + std::string(name), std::move(detail)});
  }
  void ignore() {
    note("ignored", fmt::format("{} in {}", name_of(event), to_string(self.state_)));
  }
  void report() {
    if (can_speak()) act(action::ReportStatus{});
  }
  void set(Timer timer, Millis delay) {
    self.armed_.insert(timer);
    act(action::SetTimer{timer, delay});
  }
  void cancel(std::initializer_list<Timer> timers) {
    for (const auto timer : timers)
      if (self.armed_.erase(timer) > 0) act(action::CancelTimer{timer});
  }
  void go(State state) {
    if (self.state_ == state) return;
    self.state_ = state;
    self.since_ms_ = now_ms;
    report();
  }

  void set_held(bool held);
  void connect_again();
  void begin_round(bool dry);
  void drop_round();
  void end_round();
  void order(State state, Action order);
  void wake();
  // By value: callers hand in what this clears.
  void finish(MoveOutcome outcome, std::string migration, std::string reason);
  void settle_down();
  void stop_service();
  void terminate(int code);
};

void Lifecycle::Handler::operator()(const event::Boot&) {
  if (self.booted_ || self.state_ != State::kStart) return ignore();
  self.booted_ = true;
  self.since_ms_ = now_ms;
  act(action::StartService{});
}

void Lifecycle::Handler::operator()(const event::ServiceStarted&) {
  if (self.state_ != State::kStart || !self.booted_) return ignore();
  self.service_running_ = true;
  go(State::kActive);
  connect_again();
}

void Lifecycle::Handler::operator()(const event::ServiceExited& exited) {
  if (self.state_ == State::kTerminated || !self.booted_) return ignore();
  self.service_running_ = false;
  terminate(exited.status);
}

void Lifecycle::Handler::terminate(int code) {
  const bool busy = self.round_running_ || self.phase_ == Phase::kOrdering;
  self.round_running_ = false;
  if (busy) act(action::CancelWork{});
  const auto armed = self.armed_;
  for (const auto timer : armed) cancel({timer});
  go(State::kTerminated);
  self.phase_ = Phase::kNone;
  act(action::Exit{code});
}

void Lifecycle::Handler::operator()(const event::SupervisorFound& found) {
  if (!alive()) return ignore();
  if (self.quiesced()) {
    // A connection that came up too late: it would spoil the checkpoint.
    note("late_connection", found.id);
    return act(action::CloseDescriptors{self.migration_});
  }
  self.supervisor_ = true;
  self.said_no_supervisor_ = false;
  self.reconnect_delay_ = Millis{0};
  cancel({Timer::kReconnect});
  const bool newer = found.epoch > self.epoch_;
  const bool first = self.epoch_ == 0;
  // A copy begins at epoch 1 under a key of its own.
  if (newer || self.state_ == State::kReplicating) self.epoch_ = found.epoch;
  const bool is_elsewhere = std::exchange(self.host_, found.id) != found.id;
  if (self.phase_ == Phase::kVerdict && self.state_ == State::kMigrating && newer && !first) {
    if (is_elsewhere)
      return finish(MoveOutcome::kMoved, self.migration_, "the supervisor runs a newer epoch");
    // The epoch is used up all the same.
    return finish(MoveOutcome::kFailed, self.migration_,
                  "the destination gave the copy up after the commit");
  }
  if (self.state_ == State::kActive && !self.round_running_ &&
      !self.armed_.contains(Timer::kDecide))
    set(Timer::kDecide, self.limits_.first_round);
  report();
}

void Lifecycle::Handler::operator()(const event::SupervisorLost&) {
  if (!alive()) return ignore();
  if (self.quiesced()) return;  // that is how the supervisor is answered
  self.supervisor_ = false;
  if (self.round_running_) drop_round();
  cancel({Timer::kDecide});
  if (!self.said_no_supervisor_) {
    self.said_no_supervisor_ = true;
    note("no_supervisor", "the service runs on; nothing is measured against offers or moved");
  }
  const auto delay =
      self.reconnect_delay_.count() == 0 ? self.limits_.reconnect : self.reconnect_delay_ * 2;
  self.reconnect_delay_ = std::min(delay, self.limits_.reconnect_max);
  set(Timer::kReconnect, self.reconnect_delay_);
}

// The timer stands behind the attempt: one that is never answered is made again.
void Lifecycle::Handler::connect_again() {
  act(action::Reconnect{});
  set(Timer::kReconnect, std::max(self.reconnect_delay_, self.limits_.reconnect));
}

void Lifecycle::Handler::operator()(const event::Quiesce& quiesce) {
  if (!alive() || self.quiesced()) return ignore();
  if (self.round_running_ || self.phase_ == Phase::kOrdering) drop_round();
  cancel({Timer::kDecide, Timer::kRound, Timer::kOrder, Timer::kStage, Timer::kVerdict,
          Timer::kReconnect, Timer::kDrain, Timer::kKill});
  self.supervisor_ = false;
  self.phase_ = Phase::kQuiesced;
  self.migration_ = quiesce.migration;
  if (self.state_ != State::kReplicating) go(State::kMigrating);
  act(action::CloseDescriptors{quiesce.migration});
  set(Timer::kWake, self.limits_.wake);
}

void Lifecycle::Handler::operator()(const event::Woken&) {
  if (!self.quiesced()) return ignore();
  wake();
}

void Lifecycle::Handler::wake() {
  cancel({Timer::kWake});
  self.phase_ = Phase::kVerdict;
  self.reconnect_delay_ = Millis{0};
  // A parent serves on long before its replica is there.
  const bool is_parent = self.state_ == State::kReplicating;
  set(Timer::kVerdict, is_parent ? self.limits_.stage : self.limits_.verdict);
  connect_again();
}

void Lifecycle::Handler::operator()(const event::Moved& moved) {
  const bool newer = moved.epoch > self.epoch_;
  if (!alive() || self.quiesced() || self.state_ == State::kReplicating) return ignore();
  if (self.state_ == State::kMigrating && self.phase_ == Phase::kVerdict &&
      (newer || moved.migration == self.migration_)) {
    self.epoch_ = std::max(self.epoch_, moved.epoch);
    return finish(MoveOutcome::kMoved, moved.migration, "moved");
  }
  if (!newer) return ignore();
  // The word comes after we gave up waiting for it.
  self.epoch_ = moved.epoch;
  if (under_way()) return finish(MoveOutcome::kMoved, moved.migration, "moved");
  act(action::MoveEnded{moved.migration, MoveOutcome::kMoved, "moved"});
}

void Lifecycle::Handler::operator()(const event::RolledBack& rolled_back) {
  self.epoch_ = std::max(self.epoch_, rolled_back.epoch);
  if (!alive() || !under_way() || self.quiesced()) return ignore();
  if (!self.migration_.empty() && rolled_back.migration != self.migration_) return ignore();
  finish(MoveOutcome::kFailed, rolled_back.migration, rolled_back.reason);
}

void Lifecycle::Handler::operator()(const event::OperatorMigrate& migrate) {
  if (self.state_ != State::kActive || !can_speak()) return ignore();
  order(State::kMigrating, action::OrderMove{migrate.target, "operator"});
}

void Lifecycle::Handler::operator()(const event::Replicate& replicate) {
  if (self.state_ != State::kActive || !can_speak() || self.held_) return ignore();
  order(State::kReplicating, action::OrderReplica{replicate.target, "operator"});
}

void Lifecycle::Handler::order(State state, Action order) {
  if (self.round_running_) drop_round();
  cancel({Timer::kDecide});
  self.phase_ = Phase::kOrdering;
  self.migration_.clear();
  go(state);
  act(std::move(order));
  set(Timer::kOrder, self.limits_.order);
}

void Lifecycle::Handler::operator()(const event::ReplicaStarted& started) {
  if (self.state_ != State::kReplicating || self.quiesced()) return ignore();
  finish(MoveOutcome::kMoved, started.migration, "the replica runs");
}

// What the parent was in the middle of is not ours to end.
void Lifecycle::Handler::operator()(const event::Born& born) {
  if (!alive() || self.quiesced()) return ignore();
  if (self.round_running_ || self.phase_ == Phase::kOrdering) drop_round();
  cancel({Timer::kDecide, Timer::kOrder, Timer::kStage, Timer::kWake, Timer::kVerdict,
          Timer::kDrain, Timer::kKill});
  self.phase_ = Phase::kNone;
  self.migration_.clear();
  self.host_.clear();
  self.epoch_ = born.epoch;
  self.held_ = false;
  self.draining_ = self.drains_here_ = false;
  settle_down();
}

void Lifecycle::Handler::set_held(bool held) {
  if (self.state_ == State::kTerminated) return ignore();
  self.held_ = held;
  report();
}

void Lifecycle::Handler::operator()(const event::Plan&) {
  if (self.state_ != State::kActive || !can_speak()) return ignore();
  if (self.round_running_)
    self.plan_wanted_ = true;
  else
    begin_round(/*dry=*/true);
}

void Lifecycle::Handler::operator()(const event::DiscoveryDone& done) {
  if (!my_round(done.round)) return ignore();
  act(action::AskOffers{done.round});
}

void Lifecycle::Handler::operator()(const event::OffersDone& done) {
  if (!my_round(done.round)) return ignore();
  act(action::Decide{done.round});
}

void Lifecycle::Handler::operator()(const event::DecidedStay& decided) {
  if (!my_round(decided.round)) return ignore();
  end_round();
}

void Lifecycle::Handler::operator()(const event::DecidedMove& decided) {
  if (!my_round(decided.round)) return ignore();
  end_round();
  if (self.held_) return note("held", "the decision was to move; an operator holds the ICON");
  order(State::kMigrating, action::OrderMove{decided.target, "latency"});
}

void Lifecycle::Handler::operator()(const event::DecidedReplica& decided) {
  if (!my_round(decided.round)) return ignore();
  end_round();
  if (self.held_) return note("held", "the decision was a replica; an operator holds the ICON");
  order(State::kReplicating, action::OrderReplica{decided.target, "latency"});
}

void Lifecycle::Handler::operator()(const event::DecidedEnd& decided) {
  if (!my_round(decided.round)) return ignore();
  end_round();
  if (self.held_) return note("held", "the decision was to end; an operator holds the ICON");
  (*this)(event::Drain{decided.reason});
}

void Lifecycle::Handler::operator()(const event::RoundFailed& failed) {
  if (!my_round(failed.round)) return ignore();
  note("round_failed", failed.reason);
  end_round();
}

void Lifecycle::Handler::begin_round(bool dry) {
  self.round_running_ = true;
  self.dry_ = dry;
  act(action::RunDiscovery{++self.round_, dry});
  set(Timer::kRound, self.limits_.round);
}

void Lifecycle::Handler::drop_round() {
  self.round_running_ = self.dry_ = self.plan_wanted_ = self.decide_due_ = false;
  cancel({Timer::kRound});
  act(action::CancelWork{});
}

void Lifecycle::Handler::end_round() {
  self.round_running_ = false;
  cancel({Timer::kRound});
  // A plan does not put off the next round, however often somebody asks.
  const bool was_dry = std::exchange(self.dry_, false);
  if (std::exchange(self.decide_due_, false)) return begin_round(/*dry=*/false);
  if (!was_dry || !self.armed_.contains(Timer::kDecide)) set(Timer::kDecide, self.limits_.interval);
  report();
  if (std::exchange(self.plan_wanted_, false)) begin_round(/*dry=*/true);
}

void Lifecycle::Handler::operator()(const event::OrderAccepted& accepted) {
  if (self.phase_ != Phase::kOrdering) return ignore();
  self.phase_ = Phase::kStaging;
  self.migration_ = accepted.migration;
  cancel({Timer::kOrder});
  set(Timer::kStage, self.limits_.stage);
  report();
}

void Lifecycle::Handler::operator()(const event::OrderFailed& failed) {
  if (self.phase_ != Phase::kOrdering) return ignore();
  finish(MoveOutcome::kFailed, {}, failed.reason);
}

void Lifecycle::Handler::finish(MoveOutcome outcome, std::string migration, std::string reason) {
  cancel({Timer::kOrder, Timer::kStage, Timer::kWake, Timer::kVerdict});
  // The slot that was over is left behind, and the one here is paid for.
  const bool has_moved = outcome == MoveOutcome::kMoved && self.state_ == State::kMigrating;
  if (has_moved && std::exchange(self.drains_here_, false)) self.draining_ = false;
  self.phase_ = Phase::kNone;
  self.migration_.clear();
  act(action::MoveEnded{std::move(migration), outcome, std::move(reason)});
  settle_down();
}

// Back to what it did before the migration.
void Lifecycle::Handler::settle_down() {
  self.drains_here_ = false;
  if (self.stopping_ && self.draining_) {
    go(State::kDraining);
    set(Timer::kKill, self.limits_.kill);
  } else if (self.stopping_ || self.draining_) {
    go(State::kDraining);
    set(Timer::kDrain, self.limits_.drain);
    if (self.draining_) act(action::LeadAway{});
  } else {
    go(State::kActive);
    if (self.supervisor_) set(Timer::kDecide, self.limits_.first_round);
  }
  if (!self.supervisor_ && !self.armed_.contains(Timer::kReconnect)) connect_again();
}

void Lifecycle::Handler::operator()(const event::Drain& drain) {
  if (!alive() || self.stopping_) return ignore();
  if (self.draining_) {
    if (!drain.of_lease) self.drains_here_ = false;
    return ignore();
  }
  self.draining_ = true;
  note("drain", drain.reason);
  if (self.state_ != State::kActive) {  // when the migration has ended
    self.drains_here_ = drain.of_lease;
    return;
  }
  if (self.round_running_) drop_round();
  cancel({Timer::kDecide});
  settle_down();
}

void Lifecycle::Handler::operator()(const event::ConnectionsGone&) {
  if (self.state_ != State::kDraining || !self.draining_ || self.stopping_) return ignore();
  cancel({Timer::kDrain});
  stop_service();
}

void Lifecycle::Handler::stop_service() {
  self.stopping_ = true;
  act(action::ForwardSignal{SIGTERM});
  set(Timer::kKill, self.limits_.kill);
}

void Lifecycle::Handler::operator()(const event::StopSignal& stop) {
  if (self.state_ == State::kTerminated) return ignore();
  if (self.state_ == State::kStart) return terminate(128 + stop.number);
  act(action::ForwardSignal{stop.number});
  if (self.stopping_) return;
  self.stopping_ = true;
  if (self.state_ != State::kActive && self.state_ != State::kDraining) return;
  if (self.round_running_) drop_round();
  cancel({Timer::kDecide, Timer::kDrain});
  settle_down();
}

void Lifecycle::Handler::operator()(const event::OtherSignal& other) {
  if (!self.service_running_) return ignore();
  act(action::ForwardSignal{other.number});
}

void Lifecycle::Handler::operator()(const event::TimerFired& timer_fired) {
  if (self.armed_.erase(timer_fired.timer) == 0)
    return note("ignored", fmt::format("timer {} that is not set", to_string(timer_fired.timer)));
  fired(timer_fired.timer);
}

void Lifecycle::Handler::fired(Timer timer) {
  switch (timer) {
    case Timer::kDecide:
      if (self.round_running_)
        self.decide_due_ = true;
      else
        begin_round(/*dry=*/false);
      return;
    case Timer::kRound:
      note("round_timeout", fmt::format("round {} was given up", self.round_));
      act(action::CancelWork{});
      return end_round();
    case Timer::kOrder:
      act(action::CancelWork{});
      return finish(MoveOutcome::kUnknown, {}, "the order was not answered in time");
    case Timer::kStage:
      return finish(MoveOutcome::kUnknown, self.migration_, "the migration did not begin in time");
    case Timer::kWake:
      return wake();
    case Timer::kVerdict:
      return finish(MoveOutcome::kUnknown, self.migration_,
                    "nobody said in time how the migration ended");
    case Timer::kReconnect:
      return connect_again();
    case Timer::kDrain:
      if (!self.stopping_) return stop_service();
      // A signal that the service did not take for its end.
      self.stopping_ = false;
      note("still_running", "the service outlived its stop signal");
      return settle_down();
    case Timer::kKill:
      return act(action::KillService{});
  }
}

std::vector<Action> Lifecycle::step(const Event& event, UtcMillis now_ms) {
  Handler handler{*this, event, now_ms};
  std::visit(handler, event);
  ICON_ASSERT(!quiesced() || !supervisor_);
  ICON_ASSERT((phase_ == Phase::kNone) ==
              (state_ != State::kMigrating && state_ != State::kReplicating));
  return std::move(handler.actions);
}

}  // namespace icon::agent
