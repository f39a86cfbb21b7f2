// Names of states, timers, events and actions, for the log and for the status.
#include <array>

#include "agent/lifecycle_types.h"

namespace icon::agent {
namespace {

constexpr std::array<std::string_view, 6> kStates{"START",       "ACTIVE",   "MIGRATING",
                                                  "REPLICATING", "DRAINING", "TERMINATED"};
constexpr std::array<std::string_view, 9> kTimers{"decide",  "round",     "order", "stage", "wake",
                                                  "verdict", "reconnect", "drain", "kill"};
// In the order of the variants.
constexpr std::array<std::string_view, std::variant_size_v<Event>> kEvents{"boot",
                                                                           "service_started",
                                                                           "service_exited",
                                                                           "supervisor_found",
                                                                           "supervisor_lost",
                                                                           "quiesce",
                                                                           "woken",
                                                                           "moved",
                                                                           "rolled_back",
                                                                           "operator_migrate",
                                                                           "replicate",
                                                                           "replica_started",
                                                                           "born",
                                                                           "hold",
                                                                           "unhold",
                                                                           "plan",
                                                                           "discovery_done",
                                                                           "offers_done",
                                                                           "decided_stay",
                                                                           "decided_move",
                                                                           "decided_replica",
                                                                           "decided_end",
                                                                           "round_failed",
                                                                           "order_accepted",
                                                                           "order_failed",
                                                                           "drain",
                                                                           "connections_gone",
                                                                           "stop_signal",
                                                                           "other_signal",
                                                                           "timer_fired"};
constexpr std::array<std::string_view, std::variant_size_v<Action>> kActions{
    "start_service", "forward_signal",
    "kill_service",  "close_descriptors",
    "reconnect",     "run_discovery",
    "ask_offers",    "decide",
    "order_move",    "order_replica",
    "lead_away",     "cancel_work",
    "move_ended",    "report_status",
    "set_timer",     "cancel_timer",
    "log",           "exit"};

}  // namespace

std::string_view to_string(State state) { return kStates[static_cast<std::size_t>(state)]; }
std::string_view to_string(Timer timer) { return kTimers[static_cast<std::size_t>(timer)]; }
std::string_view name_of(const Event& event) { return kEvents[event.index()]; }
std::string_view name_of(const Action& action) { return kActions[action.index()]; }

}  // namespace icon::agent
