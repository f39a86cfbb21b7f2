#include "simulate/demand.h"

#include <array>

namespace icon::simulate {
namespace {

// Percent of a region's users who are active, by local hour: the shape of traffic at any exchange.
constexpr std::array<std::int64_t, 24> kActivePercent{
    30, 20, 14, 10, 8, 10, 16, 26, 38, 48, 54, 58, 60, 60, 60, 62, 66, 72, 80, 90, 96, 92, 72, 48};

}  // namespace

std::int64_t connections_at(const World& world, const UserGroup& group, std::int64_t hour) {
  const auto of_day = hour % 24;
  if ((of_day - group.first_hour + 24) % 24 >= group.hours) return 0;
  const auto local = (of_day + world.day_offset_hours[group.region]) % 24;
  return (group.users * kActivePercent[static_cast<std::size_t>(local)] + 50) / 100;
}

std::int64_t rtt_us_at(const World& world, const Service& service, const UserGroup& group,
                       std::int32_t place) {
  return place == kOrigin ? world.origin_rtt_us(group, service)
                          : world.rtt_us(group, world.nodes[static_cast<std::size_t>(place)]);
}

wire::MicroCredits worth_per_hour(const World& world, const Service& service, std::int64_t hour,
                                  std::int32_t place, const budget::ValueCurve& curve) {
  wire::MicroCredits sum = 0;
  for (const auto& group : service.groups)
    sum =
        budget::saturating_add(sum, budget::demand_value(curve, connections_at(world, group, hour),
                                                         rtt_us_at(world, service, group, place)));
  return sum;
}

budget::ValueCurve hour_curve(const agent::Policy& policy) {
  return budget::make_value_curve(policy.objective_us, policy.value_ucredits, kHourMs);
}

}  // namespace icon::simulate
