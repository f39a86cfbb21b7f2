// What an ICON saw in one round, as a line of its record: all that a decision rests on but the
// policy, so that `icon whatif` can try another one. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "budget/decision.h"

namespace icon::agent {

inline constexpr std::int64_t kObservedVersion = 1;
inline constexpr std::size_t kObservedLineBytesMax = 1 << 20;
inline constexpr std::size_t kRecordBytesMax = 64 << 20;  // what is read
inline constexpr std::size_t kRecordRoundsMax = 200'000;

struct ObservedRound {
  UtcMillis at_ms = 0;
  // The policy is nobody's.
  budget::DecisionInput input;
  std::string moves_to;  // the id that was decided for; empty: it stayed
};

// The 32 prefixes with the most connections and the first 64 providers, as evidence keeps them.
json::Object observed_to_json(const ObservedRound& round);
// Errors: kInvalid, kLimit.
Result<ObservedRound> observed_round(const json::Object& object);
// Lines in the order of time. Errors: kInvalid and kLimit, with the line.
Result<std::vector<ObservedRound>> read_record(std::string_view text);

}  // namespace icon::agent
