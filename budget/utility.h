// What low latency is worth. Pure, integers only: two machines with the same input agree on every
// micro-credit.
//   U(S) = sum over prefixes w[c] * value(min over s in S of rtt(c, s)) - sum over s in S price(s)
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "budget/money.h"

namespace icon::budget {

// Sums are saturated here, far above any real budget; the difference of two of them still fits.
inline constexpr MicroCredits kUtilityMax = MicroCredits{1} << 61;
inline constexpr std::int64_t kRttUsMax = 600'000'000;
// Value reaches nothing at this multiple of the objective.
inline constexpr std::int64_t kZeroValueMultiple = 4;

// The worth of one connection over the horizon as a function of its round-trip time:
// `full_ucredits` up to the objective, then a straight line down to 0 at `zero_us`, then 0.
struct ValueCurve {
  std::int64_t objective_us = 1;  // >= 1
  std::int64_t zero_us = 4;       // > objective_us
  MicroCredits full_ucredits = 0;

  // Rounded down; 0 for a negative rtt (a measurement that cannot be).
  MicroCredits value(std::int64_t rtt_us) const;
};

// full = value per connection and hour, scaled to the horizon. Out-of-range input is clamped.
ValueCurve make_value_curve(std::int64_t objective_us, MicroCredits value_per_connection_hour,
                            std::int64_t horizon_ms);

// One prefix: how many connections, and its rtt to each host of S; nullopt: not known, worth 0.
struct PrefixDemand {
  std::int64_t connections = 0;
  std::vector<std::optional<std::int64_t>> rtt_us;
};

// connections * value(rtt), saturated.
MicroCredits demand_value(const ValueCurve& curve, std::int64_t connections,
                          std::optional<std::int64_t> rtt_us);
MicroCredits utility(const ValueCurve& curve, std::span<const PrefixDemand> prefixes,
                     std::span<const MicroCredits> prices_over_horizon);

MicroCredits saturating_add(MicroCredits a, MicroCredits b);
// amount * numerator / denominator, rounded towards zero. REQUIRES: denominator > 0.
MicroCredits saturated_scale(MicroCredits amount, std::int64_t numerator, std::int64_t denominator);
// Whole slots are bought: ceil(horizon / slot), at least one.
std::int64_t slots_for(std::int64_t horizon_ms, std::int64_t slot_seconds);
MicroCredits price_over_horizon(MicroCredits price_per_slot, std::int64_t slots);

}  // namespace icon::budget
