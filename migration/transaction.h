// A migration is a transaction (docs/design.md, section 4). These two state machines decide what
// comes next and what a failure undoes; they touch nothing. The flows in supervisor/ perform the
// actions and report back what happened.
//
// A replica is the same transaction without the end of the original (SourceKind).
//
// I2 in one sentence: before kCommitDurable every failure ends with the source thawed; after it
// the source stays frozen until the destination says that it runs, or that it never will.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace icon::migration {

enum class SourceState {
  kReserving,     // the destination checks lease and epoch, sets up tunnel and address
  kStaging,       // image and writable layer travel while the service runs
  kFreezing,      // quiesce, hold, freeze, dump: the gap begins
  kTransferring,  // the checkpoint travels
  kRestoring,     // the destination restores and holds
  kCommitting,    // "committed, epoch n+1" goes to disk
  kReleasing,     // the destination is told; the source stays frozen until it answers
  kSettling,      // routes point away, the original is destroyed, the stub stays
  kRollingBack,
  kDone,
  kRolledBack,
};

enum class SourceEvent {
  kStart,
  kWorkDone,  // the work of the current state succeeded
  kWorkFailed,
  kPeerAborted,      // only in kReleasing: the destination swears that it gave up before it ran
  kPeerUnreachable,  // only in kReleasing: nobody knows; ask again
  kCancelled,        // an operator, a lost lease, a shutdown
};

// In the order in which they are to be performed. The last one of a step is the work whose outcome
// is the next event; a failing undo action is logged and the next one is performed all the same.
enum class SourceAction {
  kReserve,
  kStage,
  kQuiesceAgent,
  kHoldTraffic,
  kFreeze,
  kDump,
  kTransfer,
  kRestoreAtPeer,
  kDisarmGuard,  // from here on only the journal decides
  kJournalCommit,
  kSendCommit,
  kSendCommitAgain,  // after a pause
  kDivertTraffic,
  kDestroyOriginal,
  kSettleUp,  // older stubs, receipts, lease
  kThaw,
  kReleaseTraffic,  // the held packets go to the thawed original
  kWakeAgent,
  kJournalRollback,
  kAbortPeer,
  kReportMoved,
  kReportRolledBack,
};

// What becomes of the original.
enum class SourceKind {
  kMove,   // it is destroyed when the copy runs
  kClone,  // it stands still for the snapshot alone and serves on: a replica of it is made
  kFresh,  // it is not touched: the replica starts from the image
};

class SourceTransaction {
 public:
  explicit SourceTransaction(SourceKind kind = SourceKind::kMove) : kind_(kind) {}
  // Continues after a crash in the state that the journal holds. States before the commit become a
  // roll-back, later ones go on where they were.
  static SourceTransaction recovered(SourceState state, SourceKind kind = SourceKind::kMove);

  SourceState state() const { return state_; }
  bool finished() const {
    return state_ == SourceState::kDone || state_ == SourceState::kRolledBack;
  }
  bool committed() const;  // the destination may run: this copy must not
  // The actions for `event`. An event that makes no sense in this state yields none.
  std::vector<SourceAction> step(SourceEvent event);

 private:
  std::vector<SourceAction> roll_back();
  std::vector<SourceAction> settle();
  std::vector<SourceAction> next_phase();
  SourceKind kind_;
  SourceState state_ = SourceState::kReserving;
  bool started_ = false;
  bool frozen_ = false;  // freezing has begun: undo it
};

enum class DestinationState {
  kReserved,
  kReceived,   // checkpoint verified, in memory
  kRestored,   // restored and held: no packet in or out, no instruction executed
  kCommitted,  // the source's commit is in our journal; release it
  kRunning,
  kAborted,
};

enum class DestinationEvent {
  kCheckpointVerified,
  kRestored,
  kCommitVerified,
  kReleased,
  kFailed,          // any work failed
  kAbortRequested,  // by the source, or a limit ran out
};

enum class DestinationAction {
  kJournal,         // the new state, durable, before anything else
  kReleaseProcess,  // network open, CRIU lets go
  kWakeAgent,
  kDiscard,  // kill what was restored, remove address, image, lease use
};

class DestinationTransaction {
 public:
  DestinationTransaction() = default;
  static DestinationTransaction recovered(DestinationState state);

  DestinationState state() const { return state_; }
  // kRunning and kAborted.
  bool finished() const;
  // Errors: kConflict when the event is not allowed in this state: the peer is told so.
  Result<std::vector<DestinationAction>> step(DestinationEvent event);

 private:
  DestinationState state_ = DestinationState::kReserved;
};

// Stable names for the journal, logs and the API: "transferring".
std::string_view to_string(SourceState state);
std::string_view to_string(DestinationState state);
std::string_view to_string(SourceAction action);
Result<SourceState> source_state_from(std::string_view name);
Result<DestinationState> destination_state_from(std::string_view name);

}  // namespace icon::migration
