// A budget that must last: what a credit is worth now, when it could be spent later. Pure.
#pragma once

#include <cstdint>
#include <span>

#include "base/clock.h"
#include "budget/money.h"

namespace icon::budget {

// A credit is a credit; a weight above this says that there are too few of them.
inline constexpr std::int64_t kFaceValuePermille = 1'000;
inline constexpr std::int64_t kWeightPermilleMax = 1'000'000'000;

// A place where the ICON could be: what it costs and what it is worth over the horizon.
struct Place {
  MicroCredits cost = 0;
  MicroCredits value = 0;
};

// If things stayed as they are, the best use of `affordable` per horizon would be a mix of two
// places: the ends of that stretch of the upper hull of all (cost, value) which lies over it. The
// slope of this stretch is what one more credit would gain, and so what each must earn: the
// multiplier of the budget in the linear programme. kFaceValuePermille when there is enough for the
// best of them, kWeightPermilleMax when there is not enough for any.
std::int64_t worth_of_credit_permille(std::span<const Place> places, MicroCredits affordable);

// Things do not stay as they are. What a credit has been worth until now, on average over time, is
// what it must earn now: it is spent where and when it earns more than usual (dual averaging, as
// for budgets in repeated auctions).
struct Pace {
  UtcMillis started_ms = 0;  // the first decision; 0: none yet
  UtcMillis seen_ms = 0;     // the last one
  std::int64_t mean_permille = 0;

  // The weight at which costs are compared with worth. A clock that jumped back begins anew.
  std::int64_t weigh(std::int64_t worth_permille, UtcMillis now_ms);
  bool operator==(const Pace&) const = default;
};

// `left` spread evenly over the time until `ends_ms`, of this the part of one horizon.
MicroCredits affordable_per_horizon(MicroCredits left, std::int64_t horizon_ms,
                                    std::int64_t remaining_ms);

}  // namespace icon::budget
