// What an ICON recorded, lived again under another policy. What it would have seen elsewhere is
// what it then knew of that place: the estimates of its own survey.
#pragma once

#include <vector>

#include "agent/observed_round.h"
#include "agent/policy.h"
#include "simulate/tally.h"

namespace icon::simulate {

struct Life {
  RttTally rtt;
  wire::MicroCredits worth = 0;  // by the other policy, for both
  wire::MicroCredits cost = 0;   // by the second
  std::int64_t moves = 0;
};

struct Replay {
  std::int64_t rounds = 0;
  std::int64_t alike = 0;  // rounds in which both lives decided the same, at the same place
  std::int64_t ms = 0;     // without gaps in the record
  Life recorded;
  Life other;
};

// REQUIRES: rounds in the order of time.
Replay replay(const std::vector<agent::ObservedRound>& rounds, const agent::Policy& policy);

}  // namespace icon::simulate
