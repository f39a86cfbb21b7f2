// What a simulation has shown, as stable JSON: integers only, so that it is the same everywhere.
#pragma once

#include <optional>

#include "base/json.h"
#include "simulate/optimum.h"
#include "simulate/simulation.h"

namespace icon::simulate {

// How much of what the best possible gains over staying at the origin the ICONs missed, and how
// much of its whole worth; in 1/1000. nullopt where there is nothing to gain.
std::optional<std::int64_t> missed_gain_permille(const Outcome& outcome, const Optimum& optimum);
std::optional<std::int64_t> missed_net_permille(const Outcome& outcome, const Optimum& optimum);
// What latency costs, worth that distance takes away, and what was paid: so much above the least.
std::optional<std::int64_t> above_cost_permille(const Outcome& outcome, const Optimum& optimum);

// Of the whole day.
struct DayTally {
  RttTally icon;
  RttTally origin;
};
DayTally day_of(const Outcome& outcome);

json::Object to_json(const World& world, const agent::Policy& policy, std::uint64_t seed,
                     const Outcome& outcome, const Optimum& optimum);

}  // namespace icon::simulate
