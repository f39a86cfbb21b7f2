#include "simulate/report.h"

namespace icon::simulate {
namespace {

std::optional<std::int64_t> permille(wire::MicroCredits missed, wire::MicroCredits of) {
  if (of <= 0) return std::nullopt;
  return static_cast<std::int64_t>(static_cast<__int128>(missed) * 1000 / of);
}

json::Object to_json(const RttTally& tally, std::int64_t objective_us) {
  return {{"rtt_us_p50", tally.percentile_us(50)},
          {"rtt_us_p95", tally.percentile_us(95)},
          {"within_objective_permille", tally.within_permille(objective_us)}};
}

json::Value or_null(std::optional<std::int64_t> value) {
  return value ? json::Value(*value) : json::Value(nullptr);
}

}  // namespace

std::optional<std::int64_t> missed_gain_permille(const Outcome& outcome, const Optimum& optimum) {
  return permille(optimum.net - (outcome.worth - outcome.cost), optimum.net - outcome.origin_worth);
}

std::optional<std::int64_t> missed_net_permille(const Outcome& outcome, const Optimum& optimum) {
  return permille(optimum.net - (outcome.worth - outcome.cost), optimum.net);
}

std::optional<std::int64_t> above_cost_permille(const Outcome& outcome, const Optimum& optimum) {
  return permille(optimum.net - (outcome.worth - outcome.cost), outcome.full_worth - optimum.net);
}

DayTally day_of(const Outcome& outcome) {
  DayTally day;
  for (const auto& hour : outcome.by_hour) {
    day.icon.add(hour.icon);
    day.origin.add(hour.origin);
  }
  return day;
}

json::Object to_json(const World& world, const agent::Policy& policy, std::uint64_t seed,
                     const Outcome& outcome, const Optimum& optimum) {
  json::Array regions;
  for (const auto& name : world.matrix.names) regions.emplace_back(name);
  json::Object shape{{"nodes", world.nodes.size()},       {"regions", std::move(regions)},
                     {"services", world.services.size()}, {"users", world.users},
                     {"prefixes", world.prefixes},        {"hours", world.hours},
                     {"seed", std::to_string(seed)},      {"policy", policy.name}};
  const auto day = day_of(outcome);
  auto origin = to_json(day.origin, policy.objective_us);
  origin["net_ucredits"] = outcome.origin_worth;
  origin["full_worth_ucredits"] = outcome.full_worth;
  auto icon = to_json(day.icon, policy.objective_us);
  icon["net_ucredits"] = outcome.worth - outcome.cost;
  icon["cost_ucredits"] = outcome.cost;
  icon["moves"] = outcome.moves;
  icon["moves_in_an_hour_max"] = outcome.moves_in_an_hour_max;
  icon["outbid"] = outcome.outbid;
  icon["expelled"] = outcome.expelled;
  icon["auctions"] = outcome.auctions;
  icon["rounds"] = outcome.rounds;
  icon["decisions"] = outcome.decisions;
  json::Object best{{"kind", to_string(optimum.kind)}, {"net_ucredits", optimum.net}};
  best["cost_ucredits"] = or_null(optimum.cost);
  best["missed_gain_permille"] = or_null(missed_gain_permille(outcome, optimum));
  best["missed_net_permille"] = or_null(missed_net_permille(outcome, optimum));
  best["above_cost_permille"] = or_null(above_cost_permille(outcome, optimum));
  json::Array hours;
  for (const auto& hour : outcome.by_hour)
    hours.push_back(json::Object{{"icon", to_json(hour.icon, policy.objective_us)},
                                 {"origin", to_json(hour.origin, policy.objective_us)},
                                 {"worth_ucredits", hour.worth},
                                 {"origin_worth_ucredits", hour.origin_worth},
                                 {"spent_ucredits", hour.spent},
                                 {"moves", hour.moves}});
  return {{"world", std::move(shape)},
          {"origin", std::move(origin)},
          {"icon", std::move(icon)},
          {"optimum", std::move(best)},
          {"hours", std::move(hours)}};
}

}  // namespace icon::simulate
