// TracePlan with many targets on a simulated internet: few probes, all routers, no floods.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tuple>

#include "tests/unit/discovery/simulated_network.h"

namespace icon::discovery {
namespace {

using ::testing::HasSubstr;
using ::testing::IsSupersetOf;

constexpr TreeShape kShape;
constexpr std::size_t kTargets = 1000;
constexpr std::size_t kPerBlock = 250;

TraceLimits fast() {
  TraceLimits limits;
  limits.probes_per_second = 100'000;
  limits.probes_per_router_per_second = 100'000;
  limits.probes_in_flight_max = 4096;
  limits.open_max = 1024;
  limits.global_stops = true;
  return limits;
}

SimulatedNetwork tree(TraceLimits limits, SimulatedNetwork::Options options = {},
                      std::size_t targets = kTargets, std::size_t per_block = kPerBlock,
                      TreeShape shape = kShape) {
  return {tree_targets(targets, per_block),
          [=](std::size_t target, int) { return tree_path(shape, target, targets); }, limits,
          std::move(options)};
}

// No hop of a tree is ever a router that is not on the way.
void expect_true_paths(const TracePlan& plan, std::size_t per_block = kPerBlock,
                       TreeShape shape = kShape) {
  const std::size_t count = plan.target_count();
  // What others of the same block have met counts as met.
  std::set<std::tuple<std::size_t, int, Address>> possible;
  for (std::size_t i = 0; i < count; ++i) {
    int ttl = 0;
    for (const Address& router : tree_path(shape, i, count))
      possible.emplace(i / per_block, ++ttl, router);
  }
  for (std::size_t i = 0; i < count; ++i) {
    const auto result = plan.result(i);
    for (const Hop& hop : result.hops) {
      if (!hop.address || *hop.address == result.target) continue;
      EXPECT_TRUE(possible.count({i / per_block, hop.ttl, *hop.address}) > 0)
          << i << " ttl " << hop.ttl;
    }
  }
}

TEST(TraceScale, EveryRouterWithFewProbes) {
  auto network = tree(fast());
  network.run();
  EXPECT_TRUE(network.plan.done());
  EXPECT_EQ(network.routers_found(), tree_routers(kShape, kTargets));
  EXPECT_LE(network.plan.probes_sent(), 1500u);
  expect_true_paths(network.plan);
  // Nearly all end at the router that their block was found behind, and know the way to it.
  for (std::size_t i = 0; i < kTargets; ++i) {
    const auto result = network.plan.result(i);
    ASSERT_GE(result.hops.size(), kShape.routers) << i << " " << result.note;
    for (const Hop& hop : result.hops) EXPECT_TRUE(hop.address) << i << " ttl " << hop.ttl;
  }
}

TEST(TraceScale, AHintSavesARoundTrip) {
  auto limits = fast();
  limits.first_ttl = 7;
  limits.window = 8;
  auto network = tree(limits);
  network.run();
  EXPECT_EQ(network.routers_found(), tree_routers(kShape, kTargets));
  EXPECT_LE(network.plan.probes_sent(), 1500u);
  limits.first_ttl = limits.middle_ttl = 0;
  auto slower = tree(limits);
  slower.run();
  EXPECT_LT(network.now, slower.now);
}

// Not told where to begin, and yet nobody waits for the first answers.
TEST(TraceScale, BeginningInTheMiddleSavesARoundTrip) {
  auto limits = fast();
  limits.window = 8;
  SimulatedNetwork::Options options;
  options.per_hop = Micros(10'000);
  auto network = tree(limits, options);
  network.run();
  EXPECT_EQ(network.routers_found(), tree_routers(kShape, kTargets));
  EXPECT_LE(network.plan.probes_sent(), 1500u);
  expect_true_paths(network.plan);
  limits.middle_ttl = 0;
  auto waiting = tree(limits, options);
  waiting.run();
  EXPECT_LT(network.now - SimulatedNetwork::kStart, waiting.now - SimulatedNetwork::kStart);
}

// Three hops: the middle is behind the targets.
TEST(TraceScale, TheMiddleMayBeTooFar) {
  const TreeShape shape{3, 2, 4};
  auto network = tree(fast(), {}, kTargets, 50, shape);
  network.run();
  EXPECT_TRUE(network.plan.done());
  EXPECT_EQ(network.routers_found(), tree_routers(shape, kTargets));
  EXPECT_LE(network.plan.probes_sent(), 2 * kTargets + 300);
  expect_true_paths(network.plan, 50, shape);
}

// So many at once may all meet one router; no more begin there than it may be asked.
TEST(TraceScale, TheMiddleIsNotFlooded) {
  auto limits = fast();
  limits.probes_per_router_per_second = 100;
  SimulatedNetwork::Options options;
  options.per_hop = Micros(10'000);
  auto network = tree(limits, options, kTargets, kPerBlock, {7, 1, 1});
  network.run(Millis(60));
  // The pioneers ask it too.
  EXPECT_LE(network.probes_at(tree_router(limits.middle_ttl, 0)),
            50u + static_cast<std::size_t>(limits.pioneers_max));
}

TEST(TraceScale, LocalStopsAloneStillReachEveryTarget) {
  auto limits = fast();
  limits.global_stops = false;
  auto network = tree(limits);
  network.run();
  EXPECT_EQ(network.routers_found(), tree_routers(kShape, kTargets));
  EXPECT_LE(network.plan.probes_sent(), kTargets * 2 + 600);
  for (std::size_t i = 0; i < kTargets; ++i) {
    const auto result = network.plan.result(i);
    EXPECT_TRUE(result.reached) << i << " " << result.note;
    const auto path = tree_path(kShape, i, kTargets);
    ASSERT_EQ(result.hops.size(), path.size() + 1);
    for (std::size_t ttl = 1; ttl <= path.size(); ++ttl)
      EXPECT_EQ(result.hops[ttl - 1].address, path[ttl - 1]) << i << " ttl " << ttl;
  }
}

TEST(TraceScale, WithoutStopSetsEveryHopIsAsked) {
  auto limits = fast();
  limits.local_stops = limits.global_stops = false;
  auto network = tree(limits, {}, 100, 25);
  network.run();
  EXPECT_GE(network.plan.probes_sent(), 800u);
  for (const Hop& hop : network.plan.result(99).hops) EXPECT_FALSE(hop.inferred);
}

TEST(TraceScale, TenThousandBlocks) {
  auto limits = fast();
  const TreeShape shape{8, 3, 200};
  auto network = tree(limits, {}, 10'000, 1, shape);
  network.run();
  EXPECT_TRUE(network.plan.done());
  EXPECT_EQ(network.routers_found(), tree_routers(shape, 10'000));
  EXPECT_LE(network.plan.probes_sent(), 25'000u);
  for (std::size_t i = 0; i < 10'000; i += 7) EXPECT_TRUE(network.plan.result(i).reached) << i;
}

// As Linux is shipped: six answers to one asker at once, then one a second.
TEST(TraceScale, DefaultIcmpLimits) {
  TraceLimits limits;
  limits.probes_per_second = 10'000;
  limits.probes_in_flight_max = 1024;
  limits.global_stops = true;
  SimulatedNetwork::Options options;
  options.answers_per_second = 1;
  auto network = tree(limits, options);
  network.run();
  EXPECT_TRUE(network.plan.done());
  EXPECT_EQ(network.routers_found(), tree_routers(kShape, kTargets));
  EXPECT_LT(network.now - SimulatedNetwork::kStart, std::chrono::seconds(6));
  EXPECT_LE(network.plan.probes_sent(), 2000u);
  // The budget and its burst.
  EXPECT_LE(network.probes_per_second_max(), 150u);
  expect_true_paths(network.plan);
}

TEST(TraceScale, LimitsAreRecognisedAndAskedSlowly) {
  TraceLimits limits;
  limits.limited_wait = Millis(4000);
  SimulatedNetwork::Options options;
  options.answers_per_second = 1;
  const TreeShape line{4, 1, 1};
  auto network = tree(limits, options, 40, 1, line);
  network.run();
  std::size_t limited = 0;
  for (const auto& router : network.plan.routers()) limited += router.limited ? 1 : 0;
  EXPECT_GE(limited, 1u);
  for (std::size_t i = 0; i < 40; ++i) EXPECT_TRUE(network.plan.result(i).reached);
  // One probe for each trace, and then as often as there is an answer: 4 s, and a few more.
  EXPECT_LE(network.probes_at(tree_router(4, 0)), 40u + 40u);
}

TEST(TraceScale, LossIsNotTakenForALimitForEver) {
  auto limits = fast();
  SimulatedNetwork::Options options;
  options.loss = 0.1;
  auto network = tree(limits, options);
  network.run();
  EXPECT_EQ(network.routers_found(), tree_routers(kShape, kTargets));
  expect_true_paths(network.plan);
  EXPECT_LT(network.now - SimulatedNetwork::kStart, std::chrono::seconds(4));
}

TEST(TraceScale, HolesAreFilledFromTheTree) {
  auto limits = fast();
  SimulatedNetwork::Options options;
  options.silent = {tree_router(4, 0)};
  auto network = tree(limits, options);
  network.run();
  auto expected = tree_routers(kShape, kTargets);
  expected.erase(tree_router(4, 0));
  EXPECT_EQ(network.routers_found(), expected);
  // Nobody knows what is at TTL 4 before the first 125 targets; what is before it is known again.
  const auto holed = network.plan.result(3);
  EXPECT_FALSE(holed.hops[3].address);
  EXPECT_EQ(holed.hops[2].address, tree_path(kShape, 3, kTargets)[2]);
}

// What a router that limits itself does not answer is known from others on both sides.
TEST(TraceScale, NeighboursAnswerForALimitedRouter) {
  auto limits = fast();
  limits.global_stops = false;
  limits.probes_per_router_per_second = 100;
  SimulatedNetwork::Options options;
  options.answers_per_second = 1;
  auto targets = tree_targets(500, 1);
  std::shuffle(targets.begin(), targets.end(), std::mt19937(7));
  const auto path = [](std::size_t, int) { return tree_path({4, 1, 1}, 0, 1); };
  SimulatedNetwork network(targets, path, limits, options);
  network.run();
  EXPECT_TRUE(network.plan.done());
  std::size_t whole = 0;
  for (std::size_t i = 0; i < 500; ++i) {
    const auto hops = network.plan.result(i).hops;
    whole += std::all_of(hops.begin(), hops.end(), [](const Hop& hop) { return hop.address; });
  }
  EXPECT_GT(whole, 200u);
  EXPECT_LT(network.now - SimulatedNetwork::kStart, std::chrono::seconds(20));
  EXPECT_LE(network.probes_at(tree_router(1, 0)), 50u);
}

TEST(TraceScale, SilentTargetsAndSilentTails) {
  auto limits = fast();
  limits.global_stops = false;
  SimulatedNetwork::Options options;
  for (std::size_t i = 0; i < 200; i += 2) options.silent_targets.insert(i);
  auto network = tree(limits, options, 200, 50);
  network.run();
  EXPECT_TRUE(network.plan.done());
  for (std::size_t i = 0; i < 200; ++i) {
    const auto result = network.plan.result(i);
    EXPECT_EQ(result.reached, i % 2 == 1);
    EXPECT_THAT(result.note, HasSubstr(i % 2 == 0 ? "silent after hop 7" : ""));
    EXPECT_EQ(result.hops.size(), i % 2 == 0 ? 7u : 8u);
  }
}

// hop 4 is one of two routers by flow, and 5 the same again.
TEST(TraceScale, BalancedPathsAreDetected) {
  auto limits = fast();
  limits.flows_max = kFlowsMax;
  const auto path = [](std::size_t target, int flow) {
    auto routers = tree_path({7, 1, 1}, target, 100);
    const std::size_t side = (target * 7 + static_cast<std::size_t>(flow) * 13) / 3 % 2;
    routers[3] = tree_router(4, side);
    return routers;
  };
  SimulatedNetwork network(tree_targets(100, 1), path, limits, {});
  network.run();
  EXPECT_TRUE(network.plan.done());
  EXPECT_THAT(network.routers_found(), IsSupersetOf({tree_router(4, 0), tree_router(4, 1)}));
  for (const auto& router : network.plan.routers()) {
    const bool balanced =
        router.address == tree_router(4, 0) || router.address == tree_router(4, 1);
    EXPECT_EQ(router.balanced, balanced) << router.address.to_string();
    std::vector<Address> beside;
    if (balanced) beside = {tree_router(4, router.address == tree_router(4, 0) ? 1 : 0)};
    EXPECT_EQ(router.beside, beside) << router.address.to_string();
  }
  // The trace's own flow is one path, not a mixture.
  for (std::size_t i = 0; i < 100; ++i) {
    const auto result = network.plan.result(i);
    ASSERT_EQ(result.hops.size(), 8u);
    if (result.hops[3].inferred) continue;
    EXPECT_EQ(result.hops[3].address, path(i, 0)[3]) << i;
    EXPECT_TRUE(result.hops[3].balanced);
  }
}

// The last router's answers, and the users', take three hops more than the way there.
TEST(TraceScale, AnotherWayBackIsSeen) {
  SimulatedNetwork::Options options;
  options.back_hops = [](std::size_t ttl) { return ttl < 7 ? ttl : ttl + 3; };
  const auto path = [](std::size_t target, int) { return tree_path({7, 1, 1}, target, 20); };
  SimulatedNetwork network(tree_targets(20, 1), path, fast(), options);
  network.run();
  for (std::size_t i = 0; i < 20; ++i)
    for (const Hop& hop : network.plan.result(i).hops)
      EXPECT_EQ(hop.back_hops, hop.ttl < 7 ? hop.ttl : hop.ttl + 3) << i;
}

TEST(TraceScale, LoopsEnd) {
  auto limits = fast();
  limits.global_stops = false;
  const auto path = [](std::size_t, int) {
    std::vector<Address> routers;
    for (std::size_t ttl = 1; ttl <= 64; ++ttl)
      routers.push_back(ttl < 4 ? tree_router(ttl, 0) : tree_router(4 + ttl % 2, 0));
    return routers;
  };
  SimulatedNetwork network(tree_targets(50, 1), path, limits, {});
  network.run();
  EXPECT_TRUE(network.plan.done());
  const auto result = network.plan.result(0);
  EXPECT_EQ(result.note, "a loop");
  EXPECT_LE(result.hops.size(), 8u);
  EXPECT_LE(network.plan.probes_sent(), 50u * 14);
}

// The way has become shorter or longer than what was known of it.
TEST(TraceScale, KnownDistancesThatAreWrong) {
  for (const std::uint8_t known : {2, 12}) {
    auto limits = fast();
    limits.global_stops = false;
    const std::vector<std::uint8_t> first_ttls(200, known);
    SimulatedNetwork network(
        tree_targets(200, 1),
        [](std::size_t target, int) { return tree_path(kShape, target, 200); }, limits, {},
        first_ttls);
    network.run();
    EXPECT_EQ(network.routers_found(), tree_routers(kShape, 200));
    for (std::size_t i = 0; i < 200; ++i) {
      const auto result = network.plan.result(i);
      EXPECT_TRUE(result.reached);
      ASSERT_EQ(result.hops.size(), 8u) << i << " known " << int{known};
      EXPECT_EQ(result.hops[6].address, tree_path(kShape, i, 200)[6]);
    }
  }
}

TEST(TraceScale, ADeadNetworkIsLeftEarly) {
  SimulatedNetwork::Options options;
  options.loss = 1;
  auto network = tree({}, options, 10'000, 1);
  while (!network.plan.hopeless()) {
    ASSERT_LT(network.now - SimulatedNetwork::kStart, std::chrono::seconds(10));
    network.run(std::chrono::duration_cast<Millis>(network.now - SimulatedNetwork::kStart) +
                Millis(100));
  }
  EXPECT_LE(network.plan.probes_sent(), 16u * 11 * 2);
}

// The first in the list are traced first.
TEST(TraceScale, ThoseThatMatterFirst) {
  TraceLimits limits;
  limits.open_max = 32;
  auto network = tree(limits, {}, 2000, 1);
  network.run(Millis(1000));
  network.plan.stop("deadline");
  std::size_t early = 0;
  std::size_t late = 0;
  for (std::size_t i = 0; i < 2000; ++i)
    if (network.plan.result(i).reached) ++(i < 1000 ? early : late);
  EXPECT_GT(early, 100u);
  EXPECT_EQ(late, 0u);
  EXPECT_TRUE(network.plan.ended_early(1999));
}

TEST(TraceScale, RandomNetworks) {
  for (int round = 0; round < 40; ++round) {
    const unsigned seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    auto limits = fast();
    limits.global_stops = random() % 2 == 0;
    limits.flows_max = random() % 2 == 0 ? 1 : kFlowsMax;
    limits.first_ttl = random() % 3 == 0 ? static_cast<int>(random() % 12) : 0;
    limits.limited_wait = Millis(random() % 2000);
    SimulatedNetwork::Options options;
    options.loss = random() % 3 == 0 ? 0.3 : 0;
    options.answers_per_second = random() % 3 == 0 ? 1 : 0;
    options.seed = seed;
    const TreeShape shape{1 + random() % 12, 1 + random() % 3, 1 + random() % 30};
    const std::size_t per_block = 1 + random() % 50;
    const std::size_t targets = 1 + random() % 300;
    for (std::size_t i = 0; i < targets; ++i)
      if (random() % 10 == 0) options.silent_targets.insert(i);
    auto network = tree(limits, options, targets, per_block, shape);
    network.run(Millis(60'000));
    EXPECT_TRUE(network.plan.done());
    expect_true_paths(network.plan, limits.global_stops ? per_block : 1, shape);
    EXPECT_LE(network.plan.probes_sent(), targets * 30 + 2000);
  }
}

}  // namespace
}  // namespace icon::discovery
