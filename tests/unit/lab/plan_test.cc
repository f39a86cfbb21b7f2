#include "lab/plan.h"

#include <gtest/gtest.h>

#include <set>

namespace icon::lab {
namespace {

// h1 -- r1 -- r2 -- h2, r1 -- r3 -- r2 as well; users on h2.
constexpr const char* kWorld = R"(routers: [r1, r2, r3]
hosts: [h1, h2]
links:
  - {a: r1, b: r2}
  - {a: r1, b: h1}
  - {a: r2, b: h2, delay_ms: 0}
  - {a: r1, b: r3}
  - {a: r3, b: r2}
domains:
  - {name: one.test, nodes: [r1, h1, r3]}
  - {name: two.test, nodes: [r2, h2]}
users:
  - {node: h2, count: 2}
)";

Plan plan_of(const std::string& yaml) {
  const auto topology = parse_topology(yaml);
  EXPECT_TRUE(topology) << topology.error().message;
  auto plan = make_plan(*topology);
  EXPECT_TRUE(plan);
  return *plan;
}

// Where `node` sends a packet for `destination`: the longest match.
const Route* route_for(const NodePlan& node, const Address& destination) {
  const Route* best = nullptr;
  for (const auto& route : node.routes)
    if (route.destination.contains(destination) &&
        (!best || route.destination.length > best->destination.length))
      best = &route;
  return best;
}

bool owns(const NodePlan& node, const Address& address) {
  if (node.loopback == address) return true;
  for (const auto& user : node.users)
    if (user == address) return true;
  for (const auto& interface : node.interfaces)
    if (interface.address == address) return true;
  return false;
}

// Follows the routes; the number of hops, or -1.
int hops(const Plan& plan, const NodePlan& from, const Address& destination) {
  const NodePlan* at = &from;
  for (int count = 0; count < 64; ++count) {
    if (owns(*at, destination)) return count;
    Address next = destination;
    bool connected = false;
    for (const auto& interface : at->interfaces)
      if (interface.peer_address == destination) connected = true;
    if (!connected) {
      const Route* route = route_for(*at, destination);
      if (!route) return -1;
      next = route->via;
    }
    const NodePlan* peer = nullptr;
    for (const auto& node : plan.nodes)
      for (const auto& interface : node.interfaces)
        if (interface.address == next) peer = &node;
    if (!peer) return -1;
    at = peer;
  }
  return -1;
}

TEST(Plan, GivesEachDomainABlock) {
  const Plan plan = plan_of(kWorld);
  EXPECT_EQ(plan.domain_prefixes[0].to_string(), "11.1.0.0/16");
  EXPECT_EQ(plan.domain_prefixes[1].to_string(), "11.2.0.0/16");
  EXPECT_EQ(plan.find("r1")->loopback.to_string(), "11.1.0.1");
  EXPECT_EQ(plan.find("r3")->loopback.to_string(), "11.1.0.2");
  EXPECT_EQ(plan.find("h2")->loopback.to_string(), "11.2.0.2");
  EXPECT_EQ(plan.find("h2")->users[1].to_string(), "11.2.128.2");
}

TEST(Plan, GivesEachLinkTwoNeighbouringAddresses) {
  const Plan plan = plan_of(kWorld);
  const auto& r1 = plan.find("r1")->interfaces[0];
  const auto& r2 = plan.find("r2")->interfaces[0];
  EXPECT_EQ(r1.address.to_string(), "11.1.1.0");
  EXPECT_EQ(r2.address.to_string(), "11.1.1.1");
  EXPECT_EQ(r1.peer_address, r2.address);
  EXPECT_EQ(r1.peer_mac, r2.mac);
  EXPECT_EQ(plan.find("r2")->interfaces[1].name, "e1");
}

TEST(Plan, IsTheSameEveryTimeAndRepeatsNoAddress) {
  const Plan one = plan_of(kWorld);
  const Plan two = plan_of(kWorld);
  std::set<Address> addresses;
  std::size_t count = 0;
  for (std::size_t i = 0; i < one.nodes.size(); ++i) {
    EXPECT_EQ(one.nodes[i].loopback, two.nodes[i].loopback);
    ASSERT_EQ(one.nodes[i].routes.size(), two.nodes[i].routes.size());
    addresses.insert(one.nodes[i].loopback);
    ++count;
    for (const auto& interface : one.nodes[i].interfaces) {
      addresses.insert(interface.address);
      EXPECT_FALSE(interface.address.is_non_public());
      ++count;
    }
  }
  EXPECT_EQ(addresses.size(), count);
}

TEST(Plan, RoutesReachEveryAddressOnAShortestPath) {
  const Plan plan = plan_of(kWorld);
  for (const auto& from : plan.nodes)
    for (const auto& to : plan.nodes) {
      std::vector<Address> addresses = to.users;
      addresses.push_back(to.loopback);
      for (const auto& interface : to.interfaces) addresses.push_back(interface.address);
      for (const auto& address : addresses)
        EXPECT_GE(hops(plan, from, address), 0) << from.name << " to " << address.to_string();
    }
  EXPECT_EQ(hops(plan, *plan.find("h1"), plan.find("h2")->users[0]), 3);
}

TEST(Plan, GivesANodeWithOneLinkOneRoute) {
  const Plan plan = plan_of(kWorld);
  ASSERT_EQ(plan.find("h1")->routes.size(), 1u);
  EXPECT_EQ(plan.find("h1")->routes[0].destination.to_string(), "0.0.0.0/0");
}

TEST(Plan, TheLargestLabFits) {
  std::string yaml = "routers: [";
  for (int i = 0; i < 248; ++i) yaml += (i > 0 ? ", r" : "r") + std::to_string(i);
  yaml += "]\nlinks:\n";
  for (int i = 1; i < 248; ++i)
    yaml += "  - {a: r" + std::to_string((i - 1) / 2) + ", b: r" + std::to_string(i) + "}\n";
  const Plan plan = plan_of(yaml);
  EXPECT_EQ(plan.nodes.size(), 250u);
  EXPECT_GT(hops(plan, *plan.find("r247"), plan.find("r128")->loopback), 6);
}

}  // namespace
}  // namespace icon::lab
