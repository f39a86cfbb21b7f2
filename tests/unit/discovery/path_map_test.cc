#include "discovery/path_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace icon::discovery {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr SteadyTime kNow{std::chrono::seconds(1000)};

Address user(int block, int host = 1) {
  return Address::v4(0x0b000000u + static_cast<std::uint32_t>(block << 8 | host));
}
Address router(int number) { return Address::v4(0xc6120000u + static_cast<std::uint32_t>(number)); }

// Routers by number, 0 for a silent one; then the target.
TraceResult path_to(const Address& target, std::vector<int> routers) {
  TraceResult result;
  result.target = target;
  result.reached = true;
  for (const int number : routers) {
    Hop hop;
    hop.ttl = static_cast<int>(result.hops.size()) + 1;
    if (number != 0) hop.address = router(number);
    hop.rtt_us_min = hop.address ? 1000 * hop.ttl : 0;
    result.hops.push_back(hop);
  }
  Hop last;
  last.ttl = static_cast<int>(result.hops.size()) + 1;
  last.address = target;
  last.rtt_us_min = 9000;
  result.hops.push_back(last);
  return result;
}

std::vector<Address> targets_of(const std::vector<TraceTask>& tasks) {
  std::vector<Address> targets;
  for (const auto& task : tasks) targets.push_back(task.target);
  return targets;
}

TEST(PathMap, WhatIsNotKnownIsDueInTheOrderOfWeight) {
  PathMap map;
  const std::vector<Address> users{user(3), user(1), user(2), user(1, 7)};
  EXPECT_THAT(targets_of(map.due(users, kNow)), ElementsAre(user(3), user(1), user(2)));
  // Nothing was learnt: still due, at the same instant, too.
  EXPECT_EQ(map.due(users, kNow).size(), 3u);
}

TEST(PathMap, AgainByAgeAndThoseThatMatterSooner) {
  PathMapLimits limits;
  limits.first_count = 1;
  PathMap map(limits);
  const std::vector<Address> users{user(1), user(2)};
  for (const Address& each : users) map.learn(path_to(each, {1, 2, 3}), false, kNow);
  EXPECT_THAT(map.due(users, kNow + Millis(1000)), IsEmpty());
  EXPECT_THAT(targets_of(map.due(users, kNow + limits.age_max_first)), ElementsAre(user(1)));
  // By demand: who comes to matter is due sooner.
  const std::vector<Address> reversed{user(2), user(1)};
  EXPECT_THAT(targets_of(map.due(reversed, kNow + limits.age_max_first)), ElementsAre(user(2)));
  const auto all = map.due(users, kNow + limits.age_max);
  EXPECT_THAT(targets_of(all), ElementsAre(user(1), user(2)));
  EXPECT_EQ(all[0].last_router_ttl, 3);
  // Unknown ones go before old ones.
  const std::vector<Address> more{user(1), user(2), user(9)};
  EXPECT_EQ(map.due(more, kNow + limits.age_max)[0].target, user(9));
}

TEST(PathMap, HolesAreAskedForSooner) {
  PathMapLimits limits;
  limits.first_count = 0;
  PathMap map(limits);
  map.learn(path_to(user(1), {1, 0, 3}), false, kNow);
  map.learn(path_to(user(2), {1, 2, 3}), false, kNow);
  const std::vector<Address> users{user(1), user(2)};
  EXPECT_THAT(targets_of(map.due(users, kNow + limits.age_max_holed)), ElementsAre(user(1)));
}

TEST(PathMap, GivesBackWhatItLearnt) {
  PathMap map;
  const auto before = path_to(user(1), {1, 0, 3});
  map.learn(before, false, kNow);
  // Another user of the block asks.
  const auto found = map.find(user(1, 99));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->target, user(1));
  EXPECT_TRUE(found->reached);
  ASSERT_EQ(found->hops.size(), before.hops.size());
  for (std::size_t i = 0; i < before.hops.size(); ++i) {
    EXPECT_EQ(found->hops[i].address, before.hops[i].address);
    EXPECT_EQ(found->hops[i].rtt_us_min, before.hops[i].rtt_us_min);
    EXPECT_EQ(found->hops[i].ttl, before.hops[i].ttl);
  }
  EXPECT_EQ(map.routers().size(), 2u);
  EXPECT_FALSE(map.find(user(2)));
  map.clear();
  EXPECT_FALSE(map.find(user(1)));
}

TEST(PathMap, ACutTraceStaysDueAndKeepsTheOldPath) {
  PathMap map;
  map.learn(path_to(user(1), {1, 2}), false, kNow);
  auto cut = path_to(user(1), {1});
  cut.reached = false;
  map.learn(cut, true, kNow + Millis(1));
  EXPECT_EQ(map.find(user(1))->hops.size(), 3u);
  map.learn(path_to(user(2), {1}), true, kNow);
  const std::vector<Address> users{user(2)};
  EXPECT_EQ(map.due(users, kNow + Millis(1)).size(), 1u);
}

TEST(PathMap, Bounded) {
  PathMapLimits limits;
  limits.blocks_max = 100;
  limits.routers_max = 64;
  PathMap map(limits);
  for (int round = 0; round < 50; ++round) {
    std::vector<Address> users;
    for (int i = 0; i < 90; ++i) users.push_back(user(round * 20 + i));
    for (const auto& task : map.due(users, kNow + Millis(round)))
      map.learn(path_to(task.target, {1, 2, 1000 + round * 20}), false, kNow + Millis(round));
    map.learn(std::vector<RouterSeen>{});
    EXPECT_LE(map.size(), 100u);
    EXPECT_LE(map.routers().size(), 64u);
    EXPECT_TRUE(map.find(users.front()));
  }
}

TEST(PathMap, KeepsTheWayBackAndWhoTakesTurns) {
  PathMap map;
  auto result = path_to(user(1), {1, 2});
  result.hops[0].back_hops = 1;
  result.hops[1].back_hops = 5;
  result.hops[2].back_hops = 6;
  map.learn(result, false, kNow);
  RouterSeen seen;
  seen.address = router(2);
  seen.balanced = true;
  seen.beside = {router(9)};
  map.learn({seen});
  // A run that did not look for it has not unlearnt it.
  seen.balanced = false;
  seen.beside.clear();
  map.learn({seen});
  const auto known = map.find(user(1));
  ASSERT_TRUE(known && known->hops.size() == 3u);
  EXPECT_EQ(known->hops[1].back_hops, 5);
  EXPECT_EQ(known->hops[2].back_hops, 6);
  EXPECT_TRUE(known->hops[1].balanced);
  EXPECT_EQ(map.routers().back().beside, std::vector<Address>{router(9)});
}

}  // namespace
}  // namespace icon::discovery
