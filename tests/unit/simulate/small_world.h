// Worlds small enough to check.
#pragma once

#include "simulate/world.h"

namespace icon::simulate {

inline agent::Policy paying_policy(wire::MicroCredits budget_ucredits = 1'000'000'000) {
  agent::Policy policy;
  policy.name = "test";
  policy.budget_ucredits = budget_ucredits;
  return policy;
}

inline WorldOptions small_world(std::uint64_t seed) {
  WorldOptions options;
  options.nodes = 8;
  options.services = 8;
  options.users = 800;
  options.seed = seed;
  options.matrix = *synthetic_matrix({"eu", "us", "asia"}, seed);
  return options;
}

}  // namespace icon::simulate
