// Who is there at which hour, and what it is worth to serve them from a place.
#pragma once

#include <cstdint>
#include <vector>

#include "budget/utility.h"
#include "simulate/world.h"

namespace icon::simulate {

inline constexpr std::int64_t kHourMs = 3'600'000;
// Where the origin stands in place of a node's index.
inline constexpr std::int32_t kOrigin = -1;

// Users of the group with a connection open at this hour (from 0, UTC): people sleep.
std::int64_t connections_at(const World& world, const UserGroup& group, std::int64_t hour);
std::int64_t rtt_us_at(const World& world, const Service& service, const UserGroup& group,
                       std::int32_t place);
// Of the connections of one service at this hour, per hour, served from `place`.
wire::MicroCredits worth_per_hour(const World& world, const Service& service, std::int64_t hour,
                                  std::int32_t place, const budget::ValueCurve& curve);
// For one hour.
budget::ValueCurve hour_curve(const agent::Policy& policy);

}  // namespace icon::simulate
