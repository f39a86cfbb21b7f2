// What can happen to an ICON and what its agent can be told to do: the values that lifecycle.h
// takes and gives.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "base/clock.h"

namespace icon::agent {

enum class State { kStart, kActive, kMigrating, kReplicating, kDraining, kTerminated };
std::string_view to_string(State state);  // "ACTIVE"

enum class Timer {
  kDecide,     // the next round of discovery, offers, decision
  kRound,      // the running round takes too long
  kOrder,      // nobody took the order to move
  kStage,      // the order was taken, but no quiesce came
  kWake,       // the wake signal was lost
  kVerdict,    // nobody says how the migration ended
  kReconnect,  // try the supervisor again
  kDrain,      // users who do not leave, or a service that outlived its stop signal
  kKill,       // a service that does not stop
};
std::string_view to_string(Timer timer);

namespace event {
struct Boot {};  // first event of all
struct ServiceStarted {};
struct ServiceExited {
  int status = 0;  // as a shell has it: 128 + signal; 126/127 when it could not be started
};
struct SupervisorFound {
  std::string id;
  std::int64_t epoch = 0;
};
struct SupervisorLost {};  // also: could not be reached
struct Quiesce {
  std::string migration;
};
struct Woken {};  // SIGUSR1 to PID 1
struct Moved {
  std::string migration;
  std::int64_t epoch = 0;
};
struct RolledBack {
  std::string migration;
  std::string reason;
  std::int64_t epoch = 0;  // used up, when it failed after the commit; 0: not said
};
struct OperatorMigrate {
  std::string target;
};
struct Replicate {
  std::string target;
};
struct ReplicaStarted {
  std::string migration;
};
// This process is the replica: it has woken in another ICON's place.
struct Born {
  std::int64_t epoch = 0;
};
struct Hold {};
struct Unhold {};
struct Plan {};  // an operator asks what would be decided now
struct DiscoveryDone {
  std::int64_t round = 0;
};
struct OffersDone {
  std::int64_t round = 0;
};
struct DecidedStay {
  std::int64_t round = 0;
};
struct DecidedMove {
  std::int64_t round = 0;
  std::string target;
};
// A second place beside this one gains more than the best move.
struct DecidedReplica {
  std::int64_t round = 0;
  std::string target;
};
// This replica no longer earns its price.
struct DecidedEnd {
  std::int64_t round = 0;
  std::string reason;
};
struct RoundFailed {
  std::int64_t round = 0;
  std::string reason;
};
struct OrderAccepted {
  std::string migration;
};
struct OrderFailed {  // before anybody took it; a replica's order too
  std::string reason;
};
struct Drain {
  std::string reason;
  bool of_lease = false;  // the slot here is over: a move that ends well has left it
};
struct ConnectionsGone {};  // the service has no user connection left
struct StopSignal {
  int number = 15;  // one that asks to end: SIGTERM, SIGINT, SIGQUIT
};
struct OtherSignal {
  int number = 1;  // one that is only passed on: SIGHUP, SIGUSR2, SIGWINCH ...
};
struct TimerFired {
  Timer timer = Timer::kDecide;
};
}  // namespace event

using Event =
    std::variant<event::Boot, event::ServiceStarted, event::ServiceExited, event::SupervisorFound,
                 event::SupervisorLost, event::Quiesce, event::Woken, event::Moved,
                 event::RolledBack, event::OperatorMigrate, event::Replicate, event::ReplicaStarted,
                 event::Born, event::Hold, event::Unhold, event::Plan, event::DiscoveryDone,
                 event::OffersDone, event::DecidedStay, event::DecidedMove, event::DecidedReplica,
                 event::DecidedEnd, event::RoundFailed, event::OrderAccepted, event::OrderFailed,
                 event::Drain, event::ConnectionsGone, event::StopSignal, event::OtherSignal,
                 event::TimerFired>;
std::string_view name_of(const Event& event);

namespace action {
struct StartService {};
struct ForwardSignal {
  int number = 0;
};
struct KillService {};
// Close everything that cannot travel, the supervisor's connection last: that is the answer. Its
// end is then no SupervisorLost.
struct CloseDescriptors {
  std::string migration;
};
struct Reconnect {};  // to the supervisor, anew; answered by SupervisorFound or SupervisorLost
struct RunDiscovery {
  std::int64_t round = 0;
  bool dry = false;  // a plan: nothing of it is done, kept or bid for
};
struct AskOffers {
  std::int64_t round = 0;
};
struct Decide {
  std::int64_t round = 0;
};
// Buy there and give the order; answered by OrderAccepted or OrderFailed.
struct OrderMove {
  std::string target;
  std::string reason;  // "latency" or "operator": goes into the MoveOrder
};
struct OrderReplica {
  std::string target;
  std::string reason;  // "latency" or "operator"
};
// Users go elsewhere from now on; answered by ConnectionsGone, when they have, or time is over.
struct LeadAway {};
struct CancelWork {};  // whatever round or order is still under way
// kUnknown: nobody said; the money may be owed and stays held until its hold expires. A late word
// comes as a second MoveEnded.
enum class MoveOutcome { kMoved, kFailed, kUnknown };
// A migration, a replication or an order for one is over: settle or release the money, start the
// cool-down.
struct MoveEnded {
  std::string migration;  // empty when no order was taken
  MoveOutcome outcome = MoveOutcome::kFailed;
  std::string reason;
};
struct ReportStatus {};
struct SetTimer {
  Timer timer = Timer::kDecide;
  Millis delay{0};
};
struct CancelTimer {
  Timer timer = Timer::kDecide;
};
struct Log {
  std::string event;  // "lifecycle.ignored", "lifecycle.no_supervisor", ...
  std::string detail;
};
struct Exit {
  int code = 0;
};
}  // namespace action

using Action =
    std::variant<action::StartService, action::ForwardSignal, action::KillService,
                 action::CloseDescriptors, action::Reconnect, action::RunDiscovery,
                 action::AskOffers, action::Decide, action::OrderMove, action::OrderReplica,
                 action::LeadAway, action::CancelWork, action::MoveEnded, action::ReportStatus,
                 action::SetTimer, action::CancelTimer, action::Log, action::Exit>;
std::string_view name_of(const Action& action);

}  // namespace icon::agent
