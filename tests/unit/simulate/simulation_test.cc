#include "simulate/simulation.h"

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

#include "simulate/plots.h"
#include "simulate/report.h"
#include "tests/unit/simulate/small_world.h"

namespace icon::simulate {
namespace {

const GoOn kToTheEnd = [](double) { return true; };

std::string bytes_of(std::uint64_t seed) {
  const auto policy = paying_policy();
  const auto world = *make_world(small_world(seed), policy);
  const auto outcome = *simulate(world, policy, {seed}, kToTheEnd);
  auto bytes =
      boost::json::serialize(to_json(world, policy, seed, outcome, *best_possible(world, policy)));
  for (const auto& plot : plots_of(outcome)) bytes += plot.svg;
  return bytes;
}

TEST(Simulation, TheSameSeedGivesTheSameBytes) {
  EXPECT_EQ(bytes_of(1), bytes_of(1));
  EXPECT_NE(bytes_of(1), bytes_of(2));
}

// simulate() itself looks for every micro-credit and every slot at the end: with scarce slots,
// budgets that run out and slots of a length that does not fit the hour.
TEST(Simulation, MoneyAndSlotsAddUp) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed)
    for (const std::int64_t slot_seconds : {600, 3'600, 5'000})
      for (const wire::MicroCredits budget : {100'000, 2'000'000, 1'000'000'000}) {
        auto policy = paying_policy(budget);
        policy.slot_seconds = slot_seconds;
        auto options = small_world(seed);
        options.hours = 8;
        auto world = *make_world(options, policy);
        for (auto& node : world.nodes) node.slots = 1;
        const auto outcome = simulate(world, policy, {seed}, kToTheEnd);
        ASSERT_TRUE(outcome) << "seed " << seed << ": " << outcome.error().message;
        EXPECT_LE(outcome->cost, budget * options.services);
        EXPECT_EQ(outcome->hours, options.hours);
      }
}

TEST(Simulation, WithoutMoneyNobodyMoves) {
  const auto policy = paying_policy(0);
  const auto world = *make_world(small_world(1), policy);
  const auto outcome = *simulate(world, policy, {1}, kToTheEnd);
  EXPECT_EQ(outcome.moves, 0);
  EXPECT_EQ(outcome.worth, outcome.origin_worth);
  EXPECT_EQ(day_of(outcome).icon.percentile_us(95), day_of(outcome).origin.percentile_us(95));
}

TEST(Simulation, ThePolicysListsHold) {
  auto policy = paying_policy();
  policy.deny = {"*.test"};
  const auto world = *make_world(small_world(1), policy);
  EXPECT_EQ(simulate(world, policy, {1}, kToTheEnd)->moves, 0);
  const auto optimum = best_possible(world, policy);
  EXPECT_EQ(optimum->net, simulate(world, policy, {1}, kToTheEnd)->origin_worth);
}

TEST(Simulation, CanBeEnded) {
  const auto policy = paying_policy();
  const auto world = *make_world(small_world(1), policy);
  const auto outcome = simulate(world, policy, {1}, [](double hours) { return hours < 1; });
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Code::kCancelled);
}

TEST(World, SaysWhichNumberIsWrong) {
  auto options = small_world(1);
  options.nodes = 0;
  EXPECT_EQ(make_world(options, paying_policy()).error().message,
            "nodes: 0 is not between 1 and 20000");
  options = small_world(1);
  options.users = kUsersMax + 1;
  EXPECT_FALSE(make_world(options, paying_policy()));
  options.users = 1;
  options.services = 5;
  const auto world = make_world(options, paying_policy());
  ASSERT_TRUE(world);
  EXPECT_EQ(world->services[4].groups[0].users, 0);
}

}  // namespace
}  // namespace icon::simulate
