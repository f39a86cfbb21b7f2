#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <random>

#include "tests/unit/agent/lifecycle_fixture.h"

namespace icon::agent {
namespace {

TEST_F(LifecycleTest, StartsTheServiceThenLooksForASupervisor) {
  EXPECT_THAT(step(event::Boot{}), ElementsAre("start_service"));
  EXPECT_EQ(life_.state(), State::kStart);
  EXPECT_THAT(step(event::ServiceStarted{}), ElementsAre("reconnect", "set reconnect 500"));
  EXPECT_EQ(life_.state(), State::kActive);
  EXPECT_EQ(life_.since_ms(), now_);
  EXPECT_THAT(step(event::SupervisorFound{"host", 3}),
              ElementsAre("cancel reconnect", "set decide 2000", "report_status"));
  EXPECT_EQ(life_.epoch(), 3);
}

TEST_F(LifecycleTest, WithoutASupervisorTheServiceRunsAndItIsSaidOnce) {
  step(event::Boot{});
  step(event::ServiceStarted{});
  EXPECT_THAT(step(event::SupervisorLost{}),
              ElementsAre("lifecycle.no_supervisor", "set reconnect 500"));
  Millis last{500};
  for (int i = 0; i < 10; ++i) {
    EXPECT_THAT(fire(Timer::kReconnect), testing::Contains("reconnect"));
    last = std::min(last * 2, Millis{30'000});
    EXPECT_THAT(step(event::SupervisorLost{}),
                ElementsAre("set reconnect " + std::to_string(last.count())));
  }
  EXPECT_EQ(life_.state(), State::kActive);
  // Found and lost again: that is news.
  step(event::SupervisorFound{"host", 1});
  EXPECT_THAT(step(event::SupervisorLost{}), testing::Contains("lifecycle.no_supervisor"));
}

TEST_F(LifecycleTest, AServiceThatEndsEndsTheIcon) {
  active();
  EXPECT_THAT(step(event::ServiceExited{3}),
              ElementsAre("cancel decide", "report_status", "exit 3"));
  EXPECT_EQ(life_.state(), State::kTerminated);
  EXPECT_THAT(step(event::ServiceExited{3}), ElementsAre("lifecycle.ignored"));
}

TEST_F(LifecycleTest, AServiceThatCannotStart) {
  step(event::Boot{});
  EXPECT_THAT(step(event::ServiceExited{127}), ElementsAre("exit 127"));
}

TEST_F(LifecycleTest, StopSignalsAreForwarded) {
  active();
  EXPECT_THAT(step(event::StopSignal{SIGTERM}),
              ElementsAre("signal 15", "cancel decide", "report_status", "set drain 60000"));
  EXPECT_EQ(life_.state(), State::kDraining);
  EXPECT_THAT(step(event::StopSignal{SIGTERM}), ElementsAre("signal 15"));
  EXPECT_THAT(step(event::OtherSignal{SIGHUP}), ElementsAre("signal 1"));
  EXPECT_THAT(step(event::ServiceExited{0}),
              ElementsAre("cancel drain", "report_status", "exit 0"));
}

TEST_F(LifecycleTest, AStopBeforeTheStart) {
  step(event::Boot{});
  EXPECT_THAT(step(event::StopSignal{SIGTERM}), ElementsAre("exit 143"));
}

TEST_F(LifecycleTest, AServiceThatOutlivesItsSignalGoesOn) {
  active();
  step(event::StopSignal{SIGQUIT});
  EXPECT_THAT(fire(Timer::kDrain),
              ElementsAre("lifecycle.still_running", "report_status", "set decide 2000"));
  EXPECT_EQ(life_.state(), State::kActive);
}

TEST_F(LifecycleTest, ARound) {
  active();
  EXPECT_THAT(fire(Timer::kDecide), ElementsAre("run_discovery", "set round 60000"));
  EXPECT_THAT(step(event::DiscoveryDone{1}), ElementsAre("ask_offers"));
  EXPECT_THAT(step(event::OffersDone{1}), ElementsAre("decide"));
  EXPECT_THAT(step(event::DecidedStay{1}),
              ElementsAre("cancel round", "set decide 10000", "report_status"));
  fire(Timer::kDecide);
  EXPECT_THAT(step(event::DiscoveryDone{1}), ElementsAre("lifecycle.ignored"));  // of round 1
  EXPECT_THAT(
      step(event::RoundFailed{2, "no resolver"}),
      ElementsAre("lifecycle.round_failed", "cancel round", "set decide 10000", "report_status"));
  fire(Timer::kDecide);
  EXPECT_THAT(fire(Timer::kRound), ElementsAre("lifecycle.round_timeout", "cancel_work",
                                               "set decide 10000", "report_status"));
}

TEST_F(LifecycleTest, APlanIsARoundThatPutsNothingOff) {
  step(event::Boot{});
  EXPECT_THAT(step(event::Plan{}), ElementsAre("lifecycle.ignored"));
  step(event::ServiceStarted{});
  EXPECT_THAT(step(event::Plan{}), ElementsAre("lifecycle.ignored"));  // no supervisor
  step(event::SupervisorFound{"host", 1});
  EXPECT_THAT(step(event::Plan{}), ElementsAre("run_discovery (dry)", "set round 60000"));
  EXPECT_THAT(step(event::DecidedStay{1}), ElementsAre("cancel round", "report_status"));
  // The timer of the next round goes on; fired in the middle of a plan, it is the round after it.
  EXPECT_TRUE(life_.armed().contains(Timer::kDecide));
  step(event::Plan{});
  EXPECT_THAT(fire(Timer::kDecide), ElementsAre());
  EXPECT_THAT(step(event::DecidedStay{2}),
              ElementsAre("cancel round", "run_discovery", "set round 60000"));
  // Asked for in the middle of a round, it comes after that, once.
  EXPECT_THAT(step(event::Plan{}), ElementsAre());
  EXPECT_THAT(step(event::Plan{}), ElementsAre());
  EXPECT_THAT(step(event::DecidedStay{3}),
              ElementsAre("cancel round", "set decide 10000", "report_status",
                          "run_discovery (dry)", "set round 60000"));
  EXPECT_THAT(fire(Timer::kRound),
              ElementsAre("lifecycle.round_timeout", "cancel_work", "report_status"));
  EXPECT_TRUE(life_.armed().contains(Timer::kDecide));
  // A move ends it.
  step(event::Plan{});
  EXPECT_THAT(step(event::OperatorMigrate{"edge"}), testing::Contains("cancel_work"));
  EXPECT_THAT(step(event::Plan{}), ElementsAre("lifecycle.ignored"));
}

TEST_F(LifecycleTest, HeldIconsStayButObeyTheOperator) {
  active();
  EXPECT_THAT(step(event::Hold{}), ElementsAre("report_status"));
  fire(Timer::kDecide);
  EXPECT_THAT(step(event::DecidedMove{1, "edge"}), testing::Contains("lifecycle.held"));
  EXPECT_EQ(life_.state(), State::kActive);
  EXPECT_THAT(step(event::Replicate{"edge"}), ElementsAre("lifecycle.ignored"));
  EXPECT_THAT(step(event::OperatorMigrate{"edge"}), testing::Contains("move edge operator"));
  EXPECT_THAT(step(event::OperatorMigrate{"edge"}), ElementsAre("lifecycle.ignored"));
  step(event::OrderFailed{"no offer"});
  step(event::Unhold{});
  fire(Timer::kDecide);
  EXPECT_THAT(step(event::DecidedMove{2, "edge"}), testing::Contains("move edge latency"));
}

TEST_F(LifecycleTest, TheOperatorInterruptsARound) {
  active();
  fire(Timer::kDecide);
  EXPECT_THAT(step(event::OperatorMigrate{"edge"}),
              ElementsAre("cancel round", "cancel_work", "report_status", "move edge operator",
                          "set order 60000"));
}

TEST_F(LifecycleTest, Replication) {
  active();
  EXPECT_THAT(step(event::Replicate{"edge"}),
              ElementsAre("cancel decide", "report_status", "order_replica", "set order 60000"));
  EXPECT_EQ(life_.state(), State::kReplicating);
  step(event::OrderAccepted{"r1"});
  step(event::Quiesce{"r1"});
  EXPECT_EQ(life_.state(), State::kReplicating);
  step(event::Woken{});
  step(event::SupervisorFound{"host", 1});
  EXPECT_THAT(step(event::ReplicaStarted{"r1"}), testing::Contains("ended moved the replica runs"));
  EXPECT_EQ(life_.state(), State::kActive);
}

// The same moment as the child lives it: the order was its parent's, and so is what comes of it.
TEST_F(LifecycleTest, ACopyIsActiveAtOnce) {
  active();
  step(event::Replicate{"edge"});
  step(event::OrderAccepted{"r1"});
  step(event::Quiesce{"r1"});
  step(event::Woken{});
  EXPECT_THAT(step(event::Born{1}), testing::Not(testing::Contains(testing::HasSubstr("ended"))));
  EXPECT_EQ(life_.state(), State::kActive);
  EXPECT_EQ(life_.epoch(), 1);
  EXPECT_THAT(step(event::SupervisorFound{"edge", 1}), testing::Contains("set decide 2000"));
  EXPECT_THAT(step(event::ReplicaStarted{"r1"}), ElementsAre("lifecycle.ignored"));
}

TEST_F(LifecycleTest, DrainingWaitsForTheUsersThenStopsTheService) {
  active();
  EXPECT_THAT(step(event::Drain{"the lease ends"}),
              ElementsAre("lifecycle.drain", "cancel decide", "report_status", "set drain 60000",
                          "lead_away"));
  EXPECT_EQ(life_.state(), State::kDraining);
  EXPECT_THAT(step(event::OperatorMigrate{"edge"}), ElementsAre("lifecycle.ignored"));
  EXPECT_THAT(step(event::ConnectionsGone{}),
              ElementsAre("cancel drain", "signal 15", "set kill 10000"));
  EXPECT_THAT(fire(Timer::kKill), ElementsAre("kill_service"));
  EXPECT_THAT(step(event::ServiceExited{137}), ElementsAre("report_status", "exit 137"));
}

TEST_F(LifecycleTest, ADecisionForAReplicaOrForTheEnd) {
  active();
  fire(Timer::kDecide);
  EXPECT_THAT(step(event::DecidedReplica{1, "edge"}), testing::Contains("order_replica"));
  EXPECT_EQ(life_.state(), State::kReplicating);
  step(event::OrderAccepted{"r1"});
  step(event::Quiesce{"r1"});
  step(event::Woken{});
  step(event::ReplicaStarted{"r1"});
  EXPECT_EQ(life_.state(), State::kActive);
  step(event::SupervisorFound{"host", 1});
  // What was decided in another round, or is held by an operator, does not happen.
  EXPECT_THAT(step(event::DecidedEnd{1, "old"}), ElementsAre("lifecycle.ignored"));
  step(event::Hold{});
  fire(Timer::kDecide);
  EXPECT_THAT(step(event::DecidedReplica{2, "edge"}), testing::Contains("lifecycle.held"));
  fire(Timer::kDecide);
  EXPECT_THAT(step(event::DecidedEnd{3, "not_worth_it"}), testing::Contains("lifecycle.held"));
  EXPECT_EQ(life_.state(), State::kActive);
  step(event::Unhold{});
  fire(Timer::kDecide);
  EXPECT_THAT(step(event::DecidedEnd{4, "not_worth_it"}), testing::Contains("lead_away"));
  EXPECT_EQ(life_.state(), State::kDraining);
}

TEST_F(LifecycleTest, UsersWhoDoNotLeave) {
  active();
  step(event::Drain{"the lease ends"});
  EXPECT_THAT(fire(Timer::kDrain), ElementsAre("signal 15", "set kill 10000"));
}

TEST_F(LifecycleTest, DrainAndStopDuringAMigrationComeAfterIt) {
  staging();
  EXPECT_THAT(step(event::Drain{"the lease ends"}), ElementsAre("lifecycle.drain"));
  EXPECT_EQ(life_.state(), State::kMigrating);
  step(event::RolledBack{"m1", "cut"});
  EXPECT_EQ(life_.state(), State::kDraining);
  EXPECT_TRUE(life_.armed().contains(Timer::kDrain));
}

TEST_F(LifecycleTest, AStopDuringAMigrationIsForwardedAtOnce) {
  staging();
  step(event::Quiesce{"m1"});
  EXPECT_THAT(step(event::StopSignal{SIGTERM}), ElementsAre("signal 15"));
  EXPECT_EQ(life_.state(), State::kMigrating);
  step(event::Woken{});
  step(event::SupervisorFound{"edge", 2});
  EXPECT_EQ(life_.state(), State::kDraining);
}

TEST_F(LifecycleTest, LosingTheSupervisorStopsTheRoundNotTheService) {
  active();
  fire(Timer::kDecide);
  EXPECT_THAT(
      step(event::SupervisorLost{}),
      ElementsAre("cancel round", "cancel_work", "lifecycle.no_supervisor", "set reconnect 500"));
  EXPECT_EQ(life_.state(), State::kActive);
}

TEST_F(LifecycleTest, TimersThatAreNotSetDoNothing) {
  active();
  for (const auto timer : {Timer::kRound, Timer::kOrder, Timer::kStage, Timer::kWake,
                           Timer::kVerdict, Timer::kReconnect, Timer::kDrain, Timer::kKill})
    EXPECT_THAT(fire(timer), ElementsAre("lifecycle.ignored")) << to_string(timer);
}

// One of each event, with plain content.
std::vector<Event> every_event() {
  return {event::Boot{},
          event::ServiceStarted{},
          event::ServiceExited{1},
          event::SupervisorFound{"host", 1},
          event::SupervisorLost{},
          event::Quiesce{"m1"},
          event::Woken{},
          event::Moved{"m1", 2},
          event::RolledBack{"m1", "why"},
          event::OperatorMigrate{"edge"},
          event::Replicate{"edge"},
          event::ReplicaStarted{"m1"},
          event::Born{1},
          event::Hold{},
          event::Unhold{},
          event::Plan{},
          event::DiscoveryDone{1},
          event::OffersDone{1},
          event::DecidedStay{1},
          event::DecidedMove{1, "edge"},
          event::DecidedReplica{1, "edge"},
          event::DecidedEnd{1, "not_worth_it"},
          event::RoundFailed{1, "why"},
          event::OrderAccepted{"m1"},
          event::OrderFailed{"why"},
          event::Drain{"why"},
          event::ConnectionsGone{},
          event::StopSignal{15},
          event::OtherSignal{1},
          event::TimerFired{Timer::kDecide}};
}

TEST_F(LifecycleTest, EveryEventHasAName) {
  EXPECT_EQ(every_event().size(), std::variant_size_v<Event>);
  std::set<std::string_view> names;
  for (const auto& event : every_event()) names.insert(name_of(event));
  EXPECT_EQ(names.size(), std::variant_size_v<Event>);
}

// After the end nothing happens any more; before the beginning only the beginning does.
TEST_F(LifecycleTest, IllegalEventsAreIgnoredAndLogged) {
  for (const auto& event : every_event()) {
    if (std::holds_alternative<event::Boot>(event) || std::holds_alternative<event::Hold>(event) ||
        std::holds_alternative<event::Unhold>(event) ||
        std::holds_alternative<event::StopSignal>(event))
      continue;
    EXPECT_THAT(step(event), ElementsAre("lifecycle.ignored")) << name_of(event);
    EXPECT_EQ(life_.state(), State::kStart);
  }
  active();
  step(event::ServiceExited{0});
  for (const auto& event : every_event())
    EXPECT_THAT(step(event), ElementsAre("lifecycle.ignored")) << name_of(event);
}

// Random events: the rules that hold whatever happens.
class LifecycleProperty : public testing::Test {
 protected:
  void check(const Lifecycle& life, const std::vector<Action>& actions, bool was_held) {
    for (const auto& action : actions) {
      ASSERT_FALSE(exited_ && !std::holds_alternative<action::Log>(action))
          << name_of(action) << " after the exit";
      if (std::holds_alternative<action::Exit>(action)) {
        exited_ = true;
        ASSERT_EQ(life.state(), State::kTerminated);
      }
      if (std::holds_alternative<action::StartService>(action)) ++started_;
      if (const auto* set = std::get_if<action::SetTimer>(&action)) {
        armed_.insert(set->timer);
        ASSERT_GT(set->delay.count(), 0);
      }
      if (const auto* cancelled = std::get_if<action::CancelTimer>(&action)) {
        ASSERT_EQ(armed_.erase(cancelled->timer), 1u) << to_string(cancelled->timer);
      }
      if (std::holds_alternative<action::CloseDescriptors>(action)) closed_ = true;
      const bool opens = std::holds_alternative<action::Reconnect>(action) ||
                         std::holds_alternative<action::RunDiscovery>(action) ||
                         std::holds_alternative<action::AskOffers>(action) ||
                         std::holds_alternative<action::OrderMove>(action) ||
                         std::holds_alternative<action::OrderReplica>(action) ||
                         std::holds_alternative<action::ReportStatus>(action);
      if (opens) {
        ASSERT_FALSE(life.quiesced() && closed_) << name_of(action);
      }
      if (const auto* move = std::get_if<action::OrderMove>(&action)) {
        ASSERT_FALSE(was_held && move->reason == "latency");
      }
      const bool speaks = opens && !std::holds_alternative<action::Reconnect>(action);
      if (speaks && !exited_) {
        ASSERT_TRUE(life.has_supervisor()) << name_of(action) << " to nobody";
      }
      if (const auto* run = std::get_if<action::RunDiscovery>(&action)) dry_ = run->dry;
      if (std::holds_alternative<action::ForwardSignal>(action)) {
        ASSERT_TRUE(life.service_running());
      }
    }
    if (!life.quiesced()) closed_ = false;
    ASSERT_EQ(armed_, life.armed());
    ASSERT_LE(started_, 1);
    check_liveness(life);
  }

  // Whatever it waits for, a timer stands behind it.
  void check_liveness(const Lifecycle& life) {
    switch (life.state()) {
      case State::kStart:
      case State::kTerminated:
        ASSERT_TRUE(armed_.empty());
        break;
      case State::kActive:
        ASSERT_TRUE(life.has_supervisor()
                        ? armed_.contains(Timer::kDecide) || armed_.contains(Timer::kRound)
                        : armed_.contains(Timer::kReconnect));
        // A plan puts nothing off.
        ASSERT_FALSE(!dry_ && armed_.contains(Timer::kDecide) && armed_.contains(Timer::kRound));
        break;
      case State::kMigrating:
      case State::kReplicating:
        ASSERT_EQ(armed_.contains(Timer::kOrder) + armed_.contains(Timer::kStage) +
                      armed_.contains(Timer::kWake) + armed_.contains(Timer::kVerdict),
                  1);
        break;
      case State::kDraining:
        ASSERT_TRUE(armed_.contains(Timer::kDrain) || armed_.contains(Timer::kKill) || kill_fired_);
        break;
    }
    if (life.state() != State::kStart && life.state() != State::kTerminated &&
        !life.has_supervisor() && !life.quiesced()) {
      ASSERT_TRUE(armed_.contains(Timer::kReconnect));
    }
  }

  bool exited_ = false;
  bool closed_ = false;
  bool dry_ = false;
  bool kill_fired_ = false;
  int started_ = 0;
  std::set<Timer> armed_;
};

TEST_F(LifecycleProperty, RandomEvents) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const auto events = every_event();
  for (int run = 0; run < 2'000; ++run) {
    Lifecycle life{LifecycleLimits{}};
    exited_ = closed_ = kill_fired_ = false;
    started_ = 0;
    armed_.clear();
    std::string trail;
    for (int i = 0; i < 60; ++i) {
      Event event = events[random() % events.size()];
      // Mostly what can happen, so that runs get far; the end is rare.
      if (i == 0 && random() % 8 != 0) event = event::Boot{};
      if (i == 1 && random() % 8 != 0) event = event::ServiceStarted{};
      if (std::holds_alternative<event::ServiceExited>(event) && random() % 10 != 0)
        event = event::SupervisorFound{"host", static_cast<std::int64_t>(random() % 4)};
      if (auto* fired = std::get_if<event::TimerFired>(&event); fired || random() % 5 == 0) {
        auto timer = static_cast<Timer>(random() % 9);
        if (!armed_.empty() && random() % 4 != 0)
          timer = *std::next(armed_.begin(), static_cast<long>(random() % armed_.size()));
        event = event::TimerFired{timer};
        if (armed_.erase(timer) > 0 && timer == Timer::kKill) kill_fired_ = true;
      }
      if (auto* moved = std::get_if<event::Moved>(&event))
        moved->epoch = static_cast<std::int64_t>(random() % 5);
      const auto round = life.round();
      if (auto* done = std::get_if<event::DiscoveryDone>(&event)) done->round = round;
      if (auto* done = std::get_if<event::DecidedMove>(&event)) done->round = round;
      trail += std::string(name_of(event)) + " ";
      SCOPED_TRACE(trail);
      const bool held = life.held();
      const auto actions = life.step(event, kNow + i);
      check(life, actions, held);
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace icon::agent
