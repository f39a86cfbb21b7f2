// The lifecycle during a migration: decided, staged, frozen, woken, and whatever may go wrong.
#include "tests/unit/agent/lifecycle_fixture.h"

namespace icon::agent {
namespace {

TEST_F(LifecycleTest, TheDecisionToMove) {
  active();
  fire(Timer::kDecide);
  EXPECT_THAT(step(event::DecidedMove{1, "edge"}),
              ElementsAre("cancel round", "set decide 10000", "report_status", "cancel decide",
                          "report_status", "move edge latency", "set order 60000"));
  EXPECT_EQ(life_.state(), State::kMigrating);
  EXPECT_THAT(step(event::OrderAccepted{"m1"}),
              ElementsAre("cancel order", "set stage 900000", "report_status"));
  EXPECT_THAT(step(event::Quiesce{"m1"}),
              ElementsAre("cancel stage", "close_descriptors", "set wake 1000"));
  EXPECT_TRUE(life_.quiesced());
  EXPECT_TRUE(step(event::SupervisorLost{}).empty());  // our own doing
  EXPECT_THAT(step(event::Woken{}),
              ElementsAre("cancel wake", "set verdict 30000", "reconnect", "set reconnect 500"));
  EXPECT_THAT(step(event::SupervisorFound{"edge", 1}),
              ElementsAre("cancel reconnect", "report_status"));
  EXPECT_THAT(step(event::Moved{"m1", 2}), ElementsAre("cancel verdict", "ended moved moved",
                                                       "report_status", "set decide 2000"));
  EXPECT_EQ(life_.state(), State::kActive);
  EXPECT_EQ(life_.epoch(), 2);
}

TEST_F(LifecycleTest, ANewerEpochIsAVerdict) {
  waiting_for_the_verdict();
  EXPECT_THAT(step(event::SupervisorFound{"edge", 2}),
              testing::Contains("ended moved the supervisor runs a newer epoch"));
  EXPECT_EQ(life_.state(), State::kActive);
  EXPECT_THAT(step(event::Moved{"m1", 2}), ElementsAre("lifecycle.ignored"));
}

// The destination gave up after the commit: the epoch is spent, the place is the old one.
TEST_F(LifecycleTest, ANewerEpochAtTheSameHostIsNoMove) {
  waiting_for_the_verdict();
  EXPECT_THAT(step(event::SupervisorFound{"host", 2}),
              testing::Contains("ended failed the destination gave the copy up after the commit"));
  EXPECT_EQ(life_.state(), State::kActive);
  EXPECT_EQ(life_.epoch(), 2);
}

// The supervisor says so, too: it may have been asked before its journal knew.
TEST_F(LifecycleTest, ARollBackSaysWhichEpochIsSpent) {
  waiting_for_the_verdict();
  step(event::SupervisorFound{"host", 1});
  EXPECT_THAT(step(event::RolledBack{"m1", "given up", 2}),
              testing::Contains("ended failed given up"));
  EXPECT_EQ(life_.epoch(), 2);
}

TEST_F(LifecycleTest, RolledBackAtAnyTime) {
  staging();
  EXPECT_THAT(step(event::RolledBack{"other", "?"}), ElementsAre("lifecycle.ignored"));
  EXPECT_THAT(step(event::RolledBack{"m1", "destination lost"}),
              ElementsAre("cancel stage", "ended failed destination lost", "report_status",
                          "set decide 2000"));
  EXPECT_EQ(life_.state(), State::kActive);
  step(event::OperatorMigrate{"edge"});
  step(event::OrderAccepted{"m2"});
  step(event::Quiesce{"m2"});
  fire(Timer::kWake);  // the signal was lost
  step(event::SupervisorFound{"host", 1});
  EXPECT_THAT(step(event::RolledBack{"m2", "cut"}), testing::Contains("ended failed cut"));
  EXPECT_EQ(life_.state(), State::kActive);
  EXPECT_EQ(life_.epoch(), 1);
}

TEST_F(LifecycleTest, EveryWaitOfAMigrationHasALimit) {
  active();
  step(event::OperatorMigrate{"edge"});
  EXPECT_THAT(fire(Timer::kOrder),
              ElementsAre("cancel_work", "ended unknown the order was not answered in time",
                          "report_status", "set decide 2000"));
  step(event::OperatorMigrate{"edge"});
  step(event::OrderAccepted{"m1"});
  EXPECT_THAT(fire(Timer::kStage),
              testing::Contains("ended unknown the migration did not begin in time"));
  EXPECT_EQ(life_.state(), State::kActive);
  step(event::Quiesce{"m1"});  // late, but the supervisor's word
  EXPECT_EQ(life_.state(), State::kMigrating);
  EXPECT_THAT(fire(Timer::kWake), testing::Contains("reconnect"));
  EXPECT_THAT(fire(Timer::kVerdict), testing::Contains(testing::HasSubstr("ended unknown nobody")));
  EXPECT_EQ(life_.state(), State::kActive);
  EXPECT_TRUE(life_.armed().contains(Timer::kReconnect));
  // The word comes after all: the money is owed.
  step(event::SupervisorFound{"edge", 1});
  EXPECT_THAT(step(event::Moved{"m1", 2}), ElementsAre("ended moved moved"));
  EXPECT_EQ(life_.epoch(), 2);
}

TEST_F(LifecycleTest, ASecondQuiesceAfterAnEarlyWake) {
  staging();
  step(event::Quiesce{"m1"});
  fire(Timer::kWake);
  step(event::SupervisorFound{"host", 1});
  EXPECT_THAT(step(event::Quiesce{"m1"}),
              ElementsAre("cancel verdict", "close_descriptors", "set wake 1000"));
}

TEST_F(LifecycleTest, ALateConnectionIsClosedAgain) {
  staging();
  step(event::Quiesce{"m1"});
  EXPECT_THAT(step(event::SupervisorFound{"host", 1}),
              ElementsAre("lifecycle.late_connection", "close_descriptors"));
  EXPECT_FALSE(life_.has_supervisor());
}

TEST_F(LifecycleTest, QuiesceInTheMiddleOfARound) {
  active();
  fire(Timer::kDecide);
  EXPECT_THAT(step(event::Quiesce{"m1"}),
              ElementsAre("cancel round", "cancel_work", "close_descriptors", "set wake 1000"));
  EXPECT_THAT(step(event::DecidedMove{1, "edge"}), ElementsAre("lifecycle.ignored"));
}

// The slot that it leaves was over before the move was; the one that it has come to is paid for.
TEST_F(LifecycleTest, TheEndOfALeaseIsLeftBehindWithItsPlace) {
  staging();
  EXPECT_THAT(step(event::Drain{"the lease is over", true}), ElementsAre("lifecycle.drain"));
  step(event::Quiesce{"m1"});
  step(event::Woken{});
  EXPECT_THAT(step(event::SupervisorFound{"edge", 2}), testing::Contains("set decide 2000"));
  EXPECT_EQ(life_.state(), State::kActive);
  // The next lease ends like any other.
  EXPECT_THAT(step(event::Drain{"the lease is over", true}), testing::Contains("lead_away"));
  EXPECT_EQ(life_.state(), State::kDraining);
}

TEST_F(LifecycleTest, TheEndOfALeaseWaitsForAMoveThatFails) {
  staging();
  step(event::Drain{"the lease is over", true});
  step(event::Quiesce{"m1"});
  step(event::Woken{});
  step(event::SupervisorFound{"host", 1});
  EXPECT_THAT(step(event::RolledBack{"m1", "cut"}), testing::Contains("lead_away"));
  EXPECT_EQ(life_.state(), State::kDraining);
}

TEST_F(LifecycleTest, AnyOtherDrainTravelsAlong) {
  for (const bool lease_too : {false, true}) {
    life_ = Lifecycle(LifecycleLimits{});
    staging();
    if (lease_too) step(event::Drain{"the lease is over", true});
    step(event::Drain{"an operator ends it"});
    step(event::Quiesce{"m1"});
    step(event::Woken{});
    step(event::SupervisorFound{"edge", 2});
    EXPECT_EQ(life_.state(), State::kDraining);
  }
}

// Its users are led away already: whatever comes too late does not bring them back.
TEST_F(LifecycleTest, AMoveThatComesAfterTheDrainHasBegunDoesNotEndIt) {
  active();
  step(event::Drain{"the lease is over", true});
  step(event::Quiesce{"m1"});
  step(event::Woken{});
  step(event::SupervisorFound{"edge", 2});
  EXPECT_EQ(life_.state(), State::kDraining);
}

// A replica elsewhere does not pay for the place here.
TEST_F(LifecycleTest, AReplicaDoesNotEndTheDrainOfItsParent) {
  active();
  step(event::Replicate{"edge"});
  step(event::OrderAccepted{"r1"});
  step(event::Drain{"the lease is over", true});
  step(event::Quiesce{"r1"});
  step(event::Woken{});
  step(event::SupervisorFound{"host", 1});
  step(event::ReplicaStarted{"r1"});
  EXPECT_EQ(life_.state(), State::kDraining);
}

}  // namespace
}  // namespace icon::agent
