#include "migration/transaction.h"

#include <array>
#include <utility>

namespace icon::migration {
namespace {

using SA = SourceAction;
using SS = SourceState;
using DA = DestinationAction;
using DS = DestinationState;

constexpr std::array<std::pair<SS, std::string_view>, 11> kSourceNames{{
    {SS::kReserving, "reserving"},
    {SS::kStaging, "staging"},
    {SS::kFreezing, "freezing"},
    {SS::kTransferring, "transferring"},
    {SS::kRestoring, "restoring"},
    {SS::kCommitting, "committing"},
    {SS::kReleasing, "releasing"},
    {SS::kSettling, "settling"},
    {SS::kRollingBack, "rolling_back"},
    {SS::kDone, "done"},
    {SS::kRolledBack, "rolled_back"},
}};

constexpr std::array<std::pair<DS, std::string_view>, 6> kDestinationNames{{
    {DS::kReserved, "reserved"},
    {DS::kReceived, "received"},
    {DS::kRestored, "restored"},
    {DS::kCommitted, "committed"},
    {DS::kRunning, "running"},
    {DS::kAborted, "aborted"},
}};

constexpr std::array<std::pair<SA, std::string_view>, 22> kActionNames{{
    {SA::kReserve, "reserve"},
    {SA::kStage, "stage"},
    {SA::kQuiesceAgent, "quiesce"},
    {SA::kHoldTraffic, "hold"},
    {SA::kFreeze, "freeze"},
    {SA::kDump, "dump"},
    {SA::kTransfer, "transfer"},
    {SA::kRestoreAtPeer, "restore"},
    {SA::kDisarmGuard, "disarm_guard"},
    {SA::kJournalCommit, "commit"},
    {SA::kSendCommit, "release"},
    {SA::kSendCommitAgain, "release_again"},
    {SA::kDivertTraffic, "divert"},
    {SA::kDestroyOriginal, "destroy_original"},
    {SA::kSettleUp, "settle"},
    {SA::kThaw, "thaw"},
    {SA::kReleaseTraffic, "release_traffic"},
    {SA::kWakeAgent, "wake_agent"},
    {SA::kJournalRollback, "journal_rollback"},
    {SA::kAbortPeer, "abort_peer"},
    {SA::kReportMoved, "report_moved"},
    {SA::kReportRolledBack, "report_rolled_back"},
}};

template <class Names, class Value>
std::string_view name_of(const Names& names, Value value) {
  for (const auto& [candidate, name] : names)
    if (candidate == value) return name;
  return "unknown";
}

template <class Value, class Names>
Result<Value> value_of(const Names& names, std::string_view name) {
  for (const auto& [value, text] : names)
    if (text == name) return value;
  return fail(Code::kInvalid, "unknown migration state '" + std::string(name) + "'");
}

}  // namespace

bool SourceTransaction::committed() const {
  return state_ == SS::kReleasing || state_ == SS::kSettling || state_ == SS::kDone;
}

SourceTransaction SourceTransaction::recovered(SourceState state, SourceKind kind) {
  SourceTransaction transaction(kind);
  transaction.state_ = state;
  transaction.started_ = true;
  // Whoever crashed may have frozen and not yet said so: thawing what runs does no harm.
  transaction.frozen_ = kind != SourceKind::kFresh;
  return transaction;
}

std::vector<SourceAction> SourceTransaction::roll_back() {
  state_ = SS::kRollingBack;
  std::vector<SA> actions;
  // The service first: each further step costs its users time.
  if (frozen_) actions = {SA::kThaw, SA::kReleaseTraffic, SA::kDisarmGuard};
  // Before the agent wakes: it asks for its epoch at once.
  actions.push_back(SA::kJournalRollback);
  if (frozen_) actions.push_back(SA::kWakeAgent);
  actions.insert(actions.end(), {SA::kAbortPeer, SA::kReportRolledBack});
  return actions;
}

std::vector<SourceAction> SourceTransaction::step(SourceEvent event) {
  if (finished()) return {};
  if (event == SourceEvent::kStart) {
    if (!started_) {
      started_ = true;
      return {SA::kReserve};
    }
    switch (state_) {  // after a crash
      case SS::kReleasing:
        return {SA::kSendCommit};
      case SS::kSettling:
        return settle();
      default:
        return roll_back();
    }
  }
  if (state_ == SS::kRollingBack) {
    if (event == SourceEvent::kWorkDone || event == SourceEvent::kWorkFailed)
      state_ = SS::kRolledBack;
    return {};
  }
  if (state_ == SS::kReleasing) {
    switch (event) {
      case SourceEvent::kWorkDone:
        state_ = SS::kSettling;
        return settle();
      case SourceEvent::kPeerAborted:
        return roll_back();
      case SourceEvent::kPeerUnreachable:
      case SourceEvent::kWorkFailed:
        return {SA::kSendCommitAgain};
      default:
        return {};  // too late to cancel
    }
  }
  if (state_ == SS::kSettling) {
    if (event == SourceEvent::kWorkDone || event == SourceEvent::kWorkFailed) state_ = SS::kDone;
    return {};
  }
  if (event == SourceEvent::kWorkFailed || event == SourceEvent::kCancelled) return roll_back();
  if (event != SourceEvent::kWorkDone) return {};
  return next_phase();
}

std::vector<SourceAction> SourceTransaction::settle() {
  if (kind_ != SourceKind::kMove) return {SA::kReportMoved, SA::kSettleUp};
  return {SA::kDivertTraffic, SA::kDestroyOriginal, SA::kReportMoved, SA::kSettleUp};
}

std::vector<SourceAction> SourceTransaction::next_phase() {
  switch (state_) {
    case SS::kReserving:
      state_ = SS::kStaging;
      return {SA::kStage};
    case SS::kStaging:
      if (kind_ == SourceKind::kFresh) {
        state_ = SS::kCommitting;
        return {SA::kJournalCommit};
      }
      state_ = SS::kFreezing;
      frozen_ = true;
      return {SA::kQuiesceAgent, SA::kHoldTraffic, SA::kFreeze, SA::kDump};
    case SS::kFreezing:
      state_ = SS::kTransferring;
      if (kind_ == SourceKind::kMove) return {SA::kTransfer};
      return {SA::kThaw, SA::kReleaseTraffic, SA::kDisarmGuard, SA::kWakeAgent, SA::kTransfer};
    case SS::kTransferring:
      if (kind_ == SourceKind::kClone) frozen_ = false;
      state_ = SS::kRestoring;
      return {SA::kRestoreAtPeer};
    case SS::kRestoring:
      state_ = SS::kCommitting;
      if (kind_ == SourceKind::kMove) return {SA::kDisarmGuard, SA::kJournalCommit};
      return {SA::kJournalCommit};
    case SS::kCommitting:
      state_ = SS::kReleasing;
      return {SA::kSendCommit};
    default:
      return {};
  }
}

DestinationTransaction DestinationTransaction::recovered(DestinationState state) {
  DestinationTransaction transaction;
  transaction.state_ = state;
  return transaction;
}

bool DestinationTransaction::finished() const {
  return state_ == DS::kRunning || state_ == DS::kAborted;
}

Result<std::vector<DestinationAction>> DestinationTransaction::step(DestinationEvent event) {
  const auto conflict = [&] {
    return fail(Code::kConflict,
                "migration is " + std::string(to_string(state_)) + ": not possible now");
  };
  switch (event) {
    case DestinationEvent::kCheckpointVerified:
      if (state_ != DS::kReserved) return conflict();
      state_ = DS::kReceived;
      return std::vector{DA::kJournal};
    case DestinationEvent::kRestored:
      if (state_ != DS::kReceived) return conflict();
      state_ = DS::kRestored;
      return std::vector{DA::kJournal};
    case DestinationEvent::kCommitVerified:
      if (state_ != DS::kRestored) return conflict();
      state_ = DS::kCommitted;
      return std::vector{DA::kJournal, DA::kReleaseProcess};
    case DestinationEvent::kReleased:
      if (state_ != DS::kCommitted) return conflict();
      state_ = DS::kRunning;
      return std::vector{DA::kJournal, DA::kWakeAgent};
    case DestinationEvent::kFailed:
    case DestinationEvent::kAbortRequested:
      if (state_ == DS::kAborted) return std::vector<DA>{};
      // After the commit only a failure of the release itself ends it; a request comes too late.
      if (state_ == DS::kRunning ||
          (state_ == DS::kCommitted && event == DestinationEvent::kAbortRequested))
        return conflict();
      state_ = DS::kAborted;
      return std::vector{DA::kDiscard, DA::kJournal};
  }
  return conflict();
}

std::string_view to_string(SourceState state) { return name_of(kSourceNames, state); }
std::string_view to_string(DestinationState state) { return name_of(kDestinationNames, state); }
std::string_view to_string(SourceAction action) { return name_of(kActionNames, action); }
Result<SourceState> source_state_from(std::string_view name) {
  return value_of<SourceState>(kSourceNames, name);
}
Result<DestinationState> destination_state_from(std::string_view name) {
  return value_of<DestinationState>(kDestinationNames, name);
}

}  // namespace icon::migration
