#include "migration/transaction.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

namespace icon::migration {
namespace {

using SA = SourceAction;
using SE = SourceEvent;
using SS = SourceState;

bool contains(const std::vector<SA>& actions, SA action) {
  return std::find(actions.begin(), actions.end(), action) != actions.end();
}

TEST(SourceTransaction, GoesThroughAllPhasesInOrder) {
  SourceTransaction transaction;
  std::vector<SA> performed;
  auto actions = transaction.step(SE::kStart);
  while (!transaction.finished()) {
    performed.insert(performed.end(), actions.begin(), actions.end());
    actions = transaction.step(SE::kWorkDone);
  }
  const std::vector<SA> expected{SA::kReserve,         SA::kStage,         SA::kQuiesceAgent,
                                 SA::kHoldTraffic,     SA::kFreeze,        SA::kDump,
                                 SA::kTransfer,        SA::kRestoreAtPeer, SA::kDisarmGuard,
                                 SA::kJournalCommit,   SA::kSendCommit,    SA::kDivertTraffic,
                                 SA::kDestroyOriginal, SA::kReportMoved,   SA::kSettleUp};
  EXPECT_EQ(performed, expected);
  EXPECT_EQ(transaction.state(), SS::kDone);
}

std::vector<SA> all_of(SourceKind kind) {
  SourceTransaction transaction(kind);
  std::vector<SA> performed;
  auto actions = transaction.step(SE::kStart);
  while (!transaction.finished()) {
    performed.insert(performed.end(), actions.begin(), actions.end());
    actions = transaction.step(SE::kWorkDone);
  }
  return performed;
}

// The original is never diverted from nor destroyed, and serves again before anything travels.
TEST(SourceTransaction, AReplicaLeavesItsOriginal) {
  const std::vector<SA> clone{
      SA::kReserve,       SA::kStage,      SA::kQuiesceAgent, SA::kHoldTraffic,
      SA::kFreeze,        SA::kDump,       SA::kThaw,         SA::kReleaseTraffic,
      SA::kDisarmGuard,   SA::kWakeAgent,  SA::kTransfer,     SA::kRestoreAtPeer,
      SA::kJournalCommit, SA::kSendCommit, SA::kReportMoved,  SA::kSettleUp};
  EXPECT_EQ(all_of(SourceKind::kClone), clone);
  const std::vector<SA> fresh{SA::kReserve,    SA::kStage,       SA::kJournalCommit,
                              SA::kSendCommit, SA::kReportMoved, SA::kSettleUp};
  EXPECT_EQ(all_of(SourceKind::kFresh), fresh);
}

TEST(SourceTransaction, AReplicaThatFailsThawsUntilTheOriginalServesAgain) {
  for (int steps_before_failure = 0; steps_before_failure <= 5; ++steps_before_failure) {
    SourceTransaction transaction(SourceKind::kClone);
    (void)transaction.step(SE::kStart);
    for (int i = 0; i < steps_before_failure; ++i) (void)transaction.step(SE::kWorkDone);
    const auto actions = transaction.step(SE::kWorkFailed);
    EXPECT_EQ(contains(actions, SA::kThaw), steps_before_failure >= 2 && steps_before_failure <= 3);
    EXPECT_TRUE(contains(actions, SA::kAbortPeer));
  }
  auto settling = SourceTransaction::recovered(SS::kSettling, SourceKind::kClone);
  EXPECT_FALSE(contains(settling.step(SE::kStart), SA::kDestroyOriginal));
}

// I2: whatever fails before the commit, the service is thawed if it was frozen.
TEST(SourceTransaction, EveryFailureBeforeTheCommitThaws) {
  for (int steps_before_failure = 0; steps_before_failure <= 5; ++steps_before_failure) {
    SourceTransaction transaction;
    (void)transaction.step(SE::kStart);
    for (int i = 0; i < steps_before_failure; ++i) (void)transaction.step(SE::kWorkDone);
    ASSERT_FALSE(transaction.committed()) << to_string(transaction.state());
    const bool frozen = steps_before_failure >= 2;
    const auto actions = transaction.step(SE::kWorkFailed);
    EXPECT_EQ(contains(actions, SA::kThaw), frozen);
    EXPECT_TRUE(contains(actions, SA::kAbortPeer));
    if (frozen) {
      EXPECT_EQ(actions.front(), SA::kThaw);
    }
    (void)transaction.step(SE::kWorkDone);
    EXPECT_EQ(transaction.state(), SS::kRolledBack);
  }
}

TEST(SourceTransaction, AfterTheCommitOnlyThePeersWordThaws) {
  SourceTransaction transaction;
  (void)transaction.step(SE::kStart);
  for (int i = 0; i < 6; ++i) (void)transaction.step(SE::kWorkDone);
  ASSERT_EQ(transaction.state(), SS::kReleasing);
  for (int i = 0; i < 10; ++i) {
    const auto actions = transaction.step(SE::kPeerUnreachable);
    EXPECT_EQ(actions, std::vector{SA::kSendCommitAgain});
  }
  EXPECT_TRUE(transaction.step(SE::kCancelled).empty());
  EXPECT_TRUE(contains(transaction.step(SE::kPeerAborted), SA::kThaw));
}

TEST(SourceTransaction, RecoveryThawsBeforeTheCommitAndGoesOnAfterIt) {
  for (const auto state : {SS::kReserving, SS::kStaging, SS::kFreezing, SS::kTransferring,
                           SS::kRestoring, SS::kCommitting, SS::kRollingBack}) {
    auto transaction = SourceTransaction::recovered(state);
    EXPECT_TRUE(contains(transaction.step(SE::kStart), SA::kThaw)) << to_string(state);
  }
  auto releasing = SourceTransaction::recovered(SS::kReleasing);
  EXPECT_EQ(releasing.step(SE::kStart), std::vector{SA::kSendCommit});
  auto settling = SourceTransaction::recovered(SS::kSettling);
  EXPECT_FALSE(contains(settling.step(SE::kStart), SA::kThaw));
}

// Random events and crashes at both ends, with the journal as the only memory that survives: never
// two copies that may run (I1), and never none once everybody has been heard (I2).
TEST(Transactions, NoInterleavingRunsTwoCopiesOrLosesTheIcon) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  int moved = 0;
  int rolled_back = 0;
  for (int round = 0; round < 20'000; ++round) {
    SourceTransaction source;
    DestinationTransaction destination;
    bool source_runs = true;
    bool destination_runs = false;
    SS journalled = SS::kReserving;
    auto actions = source.step(SE::kStart);
    for (int turn = 0; turn < 200 && !source.finished(); ++turn) {
      if (random() % 12 == 0) {  // the source's supervisor is killed and comes back
        source = SourceTransaction::recovered(journalled);
        actions = source.step(SE::kStart);
      }
      if (random() % 15 == 0 && !destination.finished() &&
          destination.state() != DestinationState::kCommitted)
        (void)destination.step(DestinationEvent::kFailed);
      SE outcome = SE::kWorkDone;
      for (const SA action : actions) {
        switch (action) {
          case SA::kFreeze:
            source_runs = false;
            break;
          case SA::kThaw:
            source_runs = true;
            break;
          case SA::kTransfer:
            if (!destination.step(DestinationEvent::kCheckpointVerified)) outcome = SE::kWorkFailed;
            break;
          case SA::kRestoreAtPeer:
            if (!destination.step(DestinationEvent::kRestored)) outcome = SE::kWorkFailed;
            break;
          case SA::kSendCommit:
          case SA::kSendCommitAgain:
            if (random() % 3 == 0) {
              outcome = SE::kPeerUnreachable;
            } else if (destination.state() == DestinationState::kAborted) {
              outcome = SE::kPeerAborted;
            } else if (destination.state() == DestinationState::kRunning ||
                       destination.step(DestinationEvent::kCommitVerified)) {
              destination_runs = true;
              (void)destination.step(DestinationEvent::kReleased);
              if (random() % 3 == 0) outcome = SE::kPeerUnreachable;  // the answer is lost
            }
            break;
          case SA::kAbortPeer:
            (void)destination.step(DestinationEvent::kAbortRequested);
            break;
          default:
            break;
        }
        ASSERT_FALSE(source_runs && destination_runs)
            << to_string(source.state()) << " / " << to_string(destination.state());
      }
      journalled = source.state();
      if (outcome == SE::kWorkDone && !source.committed() && random() % 10 == 0)
        outcome = SE::kWorkFailed;
      actions = source.step(outcome);
      if (source.committed()) journalled = source.state();
    }
    if (!source.finished()) continue;
    ASSERT_TRUE(source_runs || destination_runs);
    (source.state() == SS::kDone ? moved : rolled_back) += 1;
  }
  EXPECT_GT(moved, 1000);
  EXPECT_GT(rolled_back, 1000);
}

TEST(DestinationTransaction, RefusesWhatIsOutOfOrder) {
  DestinationTransaction transaction;
  EXPECT_EQ(transaction.step(DestinationEvent::kRestored).error().code, Code::kConflict);
  EXPECT_EQ(transaction.step(DestinationEvent::kCommitVerified).error().code, Code::kConflict);
  ASSERT_TRUE(transaction.step(DestinationEvent::kCheckpointVerified));
  ASSERT_TRUE(transaction.step(DestinationEvent::kRestored));
  ASSERT_TRUE(transaction.step(DestinationEvent::kCommitVerified));
  EXPECT_EQ(transaction.step(DestinationEvent::kAbortRequested).error().code, Code::kConflict);
  ASSERT_TRUE(transaction.step(DestinationEvent::kReleased));
  EXPECT_TRUE(transaction.finished());
}

TEST(Names, RoundTrip) {
  for (const auto state : {SS::kReserving, SS::kSettling, SS::kRolledBack})
    EXPECT_EQ(source_state_from(to_string(state)).value(), state);
  EXPECT_FALSE(source_state_from("nonsense"));
  EXPECT_EQ(destination_state_from("aborted").value(), DestinationState::kAborted);
}

}  // namespace
}  // namespace icon::migration
