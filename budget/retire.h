// Does a replica still earn its price? Pure, like decide().
#pragma once

#include <optional>
#include <vector>

#include "budget/decision.h"

namespace icon::budget {

struct RetireInput {
  std::string here_name;
  std::string here_id;
  MicroCredits price_ucredits = 0;  // of a slot here
  std::int64_t slot_seconds = 0;
  std::vector<PrefixView> prefixes;
  // What the same users had at the parent, in the same order; nullopt or missing: not known, and
  // then counted as worthless.
  std::vector<std::optional<std::int64_t>> parent_rtt_us;
  std::string parent_name;
  DecisionPolicy policy;
  UtcMillis born_ms = 0;
  std::int64_t rounds_lost = 0;  // in a row, so far
};

struct RetireDecision {
  bool end = false;
  std::int64_t rounds_lost = 0;  // for the next round
  Evidence evidence;             // outcome "end" or "stay"
};

// What it adds is what its users have here beyond what they would have at the parent. It ends when
// that is less than its price over the horizon, or nothing at all, `rounds` times in a row, and not
// within `cooldown` of its birth.
RetireDecision retire(const RetireInput& input, UtcMillis now_ms);

}  // namespace icon::budget
