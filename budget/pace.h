// A budget that must last: what a credit is worth now, when it could be spent later. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "budget/money.h"

namespace icon::budget {

// A credit is a credit; a weight above this says that there are too few of them.
inline constexpr std::int64_t kFaceValuePermille = 1'000;
inline constexpr std::int64_t kWeightPermilleMax = 1'000'000'000;
inline constexpr std::size_t kPaceHours = 24;
inline constexpr std::size_t kPacePlacesMax = 8;  // kept of one hour

// A place where the ICON could be: what it costs and what it is worth over the horizon.
struct Place {
  MicroCredits cost = 0;
  MicroCredits value = 0;
  bool operator==(const Place&) const = default;
};

// The places that can be the best for some price of money: rising, and bending down.
std::vector<Place> hull_of(std::vector<Place> places);

// What is left, and until when it must last.
struct Means {
  MicroCredits left = 0;
  std::int64_t horizon_ms = 1;  // > 0: over which places cost and are worth what they say
  UtcMillis ends_ms = 0;
};

// Weights at which costs are compared with worth, in 1/1000.
struct MoneyWeight {
  std::int64_t going = kFaceValuePermille;    // to a place that costs more
  std::int64_t leaving = kFaceValuePermille;  // for one that costs less
};

// What there was to be bought at each hour of the day, as last seen. Users come and go by the day,
// so that this is what will be there again; an hour not seen yet is like the nearest ones that
// were. The best use of what is left is then a linear programme, and the multiplier of the budget
// in it is what a credit must earn: it is spent where and when it earns most.
struct Pace {
  UtcMillis started_ms = 0;               // the first decision; 0: none yet
  UtcMillis seen_ms = 0;                  // the last one
  std::vector<std::vector<Place>> hours;  // hulls by hour of the day; empty, or kPaceHours of them

  // Notes what there is to be bought now. A clock that jumped back begins anew.
  void see(std::span<const Place> places, UtcMillis now_ms);
  // All users are served well where the ICON is: there is nothing to be bought.
  void see_nothing(UtcMillis now_ms);
  MoneyWeight weigh(const Means& means, UtcMillis now_ms) const;

  json::Object to_json() const;
  static Result<Pace> from_json(const json::Object& object);  // Errors: kInvalid, kLimit
  bool operator==(const Pace&) const = default;
};

// `left` spread evenly over the time until `ends_ms`, of this the part of one horizon.
MicroCredits affordable_per_horizon(const Means& means, UtcMillis now_ms);

}  // namespace icon::budget
