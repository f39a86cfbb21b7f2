// A day of a world: every ICON watches its users, decides, bids, pays and moves, with the agent's
// own code, on a clock of events. Pure: the same world and policy give the same result.
#pragma once

#include <functional>
#include <vector>

#include "agent/policy.h"
#include "simulate/tally.h"
#include "simulate/tenant.h"
#include "simulate/world.h"

namespace icon::simulate {

struct HourResult {
  RttTally icon;
  RttTally origin;  // had nobody moved
  wire::MicroCredits worth = 0;
  wire::MicroCredits origin_worth = 0;
  wire::MicroCredits spent = 0;  // until the end of this hour, since the beginning
  std::int64_t moves = 0;
};

struct Outcome {
  std::int64_t hours = 0;
  std::vector<HourResult> by_hour;
  wire::MicroCredits worth = 0;
  wire::MicroCredits origin_worth = 0;
  wire::MicroCredits full_worth = 0;  // had everybody been within the objective
  wire::MicroCredits cost = 0;
  std::int64_t moves = 0;
  std::int64_t outbid = 0;
  std::int64_t expelled = 0;
  std::int64_t moves_in_an_hour_max = 0;  // of one ICON, in any 60 minutes
  std::int64_t auctions = 0;
  std::int64_t rounds = 0;
  std::int64_t decisions = 0;
};

// Asked now and then with the hours done; false ends the run.
using GoOn = std::function<bool(double hours_done)>;

struct Run {
  std::uint64_t seed = 1;
  // The ICONs have watched their users for a day already, without moving.
  bool watched = false;
};

// Errors: kCancelled; kInternal when money or slots do not add up at the end: what the ICONs spent
// is what the nodes earned, no purse is over its budget, and every slot is free again.
Result<Outcome> simulate(const World& world, const agent::Policy& policy, const Run& run,
                         const GoOn& go_on);

}  // namespace icon::simulate
