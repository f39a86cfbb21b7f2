#include "simulate/optimum.h"

#include <gtest/gtest.h>

#include "simulate/demand.h"
#include "tests/unit/simulate/small_world.h"

namespace icon::simulate {
namespace {

// Two services and one slot: the solver's answer beside every schedule there is.
TEST(Optimum, IsWhatTryingEverythingFinds) {
  auto options = small_world(3);
  options.nodes = 2;
  options.services = 2;
  options.hours = 3;
  const auto policy = paying_policy(700'000);
  auto world = *make_world(options, policy);
  for (auto& node : world.nodes) node.slots = 1;
  const auto curve = hour_curve(policy);
  const auto schedules = 27;  // three places in each of three hours
  wire::MicroCredits best = 0;
  for (int a = 0; a < schedules; ++a)
    for (int b = 0; b < schedules; ++b) {
      wire::MicroCredits net = 0, spent[2] = {0, 0};
      bool possible = true;
      for (int hour = 0, x = a, y = b; hour < 3; ++hour, x /= 3, y /= 3) {
        const std::int32_t places[2] = {x % 3 - 1, y % 3 - 1};
        possible = possible && (places[0] == kOrigin || places[0] != places[1]);
        for (int i = 0; i < 2; ++i) {
          net += worth_per_hour(world, world.services[static_cast<std::size_t>(i)], hour, places[i],
                                curve);
          if (places[i] == kOrigin) continue;
          spent[i] += world.nodes[static_cast<std::size_t>(places[i])].price_ucredits;
        }
      }
      if (!possible || std::max(spent[0], spent[1]) > policy.budget_ucredits) continue;
      best = std::max(best, net - spent[0] - spent[1]);
    }
  const auto found = best_possible(world, policy);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->kind, Optimum::Kind::kExact);
  EXPECT_NEAR(static_cast<double>(found->net), static_cast<double>(best), 2);
}

TEST(Optimum, TheBoundIsNeverBelow) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed)
    for (const wire::MicroCredits budget : {0, 500'000, 1'000'000'000}) {
      const auto policy = paying_policy(budget);
      auto options = small_world(seed);
      options.hours = 6;
      const auto world = *make_world(options, policy);
      const auto found = best_possible(world, policy);
      ASSERT_TRUE(found);
      EXPECT_GE(unscarce_bound(world, policy) + 2, found->net) << "seed " << seed;
    }
}

}  // namespace
}  // namespace icon::simulate
