#include "agent/map_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

namespace icon::agent {
namespace {

constexpr UtcMillis kMapNow = 1'700'000'000'000;

discovery::Hop map_hop(int ttl, const char* address, std::int64_t rtt_us, int back_hops = 0) {
  discovery::Hop result;
  result.ttl = ttl;
  if (address != nullptr) result.address = *Address::parse(address);
  result.rtt_us_min = rtt_us;
  result.back_hops = back_hops;
  return result;
}

// here - 198.51.100.1 - silence - 203.0.113.1 - user 192.0.2.7, and the same to 192.0.3.7
discovery::DiscoveryReport traced_report() {
  discovery::DiscoveryReport result;
  for (const char* user : {"192.0.2.7", "192.0.3.7"}) {
    discovery::TraceResult trace;
    trace.target = *Address::parse(user);
    trace.reached = true;
    trace.hops = {map_hop(1, "198.51.100.1", 1'000, 1), map_hop(2, nullptr, 0),
                  map_hop(3, "203.0.113.1", 8'000, 5), map_hop(4, user, 10'000, 4)};
    trace.hops[0].balanced = true;
    result.traces.push_back(trace);
  }
  discovery::RouterSeen balanced;
  balanced.address = *Address::parse("198.51.100.1");
  balanced.beside = {*Address::parse("198.51.100.3")};
  result.routers = {balanced};
  result.names = {{*Address::parse("203.0.113.1"), "b1\x01.edge.test", "edge.test"}};
  return result;
}

struct MapWorld {
  MapWorld() {
    for (const char* block : {"192.0.2.0/24", "192.0.3.0/24"})
      prefixes.push_back(*Prefix::parse(block));
    traced = traced_map(traced_report(), prefixes, kMapNow - 5'000);
    users.resize(2);
    users[0] = {prefixes[0], *Address::parse("192.0.2.7"), 9, 9, 9, 11'000, 12'000};
    users[1] = {prefixes[1], *Address::parse("192.0.3.7"), 1, 0, 0, 0, 0};
    seen.here = {"far", "here-id", 0, 0};
    seen.prefixes = {{prefixes[0], 9, 10'000, 9}};
    for (int i = 0; i < 12; ++i) {
      ProviderView view;
      view.names.name = "p" + std::to_string(i);
      view.names.id = i == 11 ? "here-id" : "id" + std::to_string(i);
      view.source = "dns";
      seen.providers.push_back(view);
      budget::Candidate candidate;
      budget::RttEstimate estimate;
      estimate.basis = budget::EstimateBasis::kViaHere;
      estimate.rtt_us = 30'000 - 1'000 * i;
      estimate.confidence = 40;
      candidate.estimates = {estimate};
      candidates.push_back(candidate);
    }
    seen.providers[3].on_path_ttl[prefixes[0]] = 3;
    seen.providers[4].rejection = budget::Rejection{"too_dear", "asks too much"};
  }
  wire::NetworkMap map() const {
    return network_map({traced, users, seen, candidates, 7, 20'000, kMapNow});
  }

  std::vector<Prefix> prefixes;
  wire::NetworkMap traced;
  std::vector<PrefixLatency> users;
  Observations seen;
  std::vector<budget::Candidate> candidates;
};

TEST(MapReport, HasThePathWithItsRoutersOnce) {
  const auto map = MapWorld().map();
  ASSERT_EQ(map.routers.size(), 2u);
  EXPECT_EQ(map.routers[0].beside, std::vector<Address>{*Address::parse("198.51.100.3")});
  EXPECT_EQ(map.routers[1].name, "b1?.edge.test");
  EXPECT_EQ(map.routers[1].domain, "edge.test");
  ASSERT_EQ(map.paths.size(), 2u);
  const auto& path = map.paths[0];
  ASSERT_EQ(path.hops.size(), 3u);  // the target is none
  EXPECT_EQ(path.hops[0].router, 0);
  EXPECT_EQ(path.hops[1].router, -1);
  EXPECT_EQ(path.hops[2].back_hops, 5);
  EXPECT_EQ(path.target_rtt_us, 10'000);
  EXPECT_EQ(path.rtt_us, 10'000);
  EXPECT_EQ(map.paths[1].hops[2].router, 1);
  EXPECT_EQ(map.prefixes_total, 7);
  EXPECT_EQ(map.traced_ms, kMapNow - 5'000);
}

TEST(MapReport, ThoseOnThePathFirstThenTheNearest) {
  const auto map = MapWorld().map();
  const auto& estimates = map.paths[0].estimates;
  ASSERT_EQ(estimates.size(), wire::kMapEstimatesMax);
  EXPECT_EQ(estimates[0].provider, 3u);
  EXPECT_EQ(estimates[0].on_path_ttl, 3);
  EXPECT_EQ(estimates[1].provider, 11u);
  EXPECT_EQ(estimates[1].rtt_us, 19'000);
  EXPECT_EQ(estimates[1].basis, "via_here");
  EXPECT_TRUE(map.paths[1].estimates.empty());
  EXPECT_EQ(map.providers[11].state, "here");
  EXPECT_EQ(map.providers[4].state, "rejected");
  EXPECT_EQ(map.providers[4].reason, "too_dear");
  EXPECT_EQ(map.providers[0].state, "known");
}

TEST(MapReport, NobodyWasAskedAndNothingTraced) {
  MapWorld world;
  world.traced = {};
  world.candidates.clear();
  const auto map = world.map();
  ASSERT_EQ(map.paths.size(), 2u);
  EXPECT_FALSE(map.paths[0].target);
  EXPECT_EQ(map.traced_ms, 0);
  EXPECT_TRUE(wire::NetworkMap::from_json(map.to_json()));
}

// Whatever strangers put into names, the supervisor takes the map; and it fits.
TEST(MapReport, IsAlwaysWithinItsLimits) {
  MapWorld world;
  auto report = traced_report();
  report.traces.clear();
  world.prefixes.clear();
  world.users.clear();
  for (std::uint32_t i = 0; i < 400; ++i) {
    discovery::TraceResult trace;
    trace.target = Address::v4(0x0b000001u + (i << 8));
    world.prefixes.push_back(Prefix::of_user(trace.target));
    world.users.push_back({world.prefixes.back(), trace.target, 1, 1, 1, 5'000, 5'000});
    for (int ttl = 1; ttl <= 70; ++ttl) {
      auto one = map_hop(ttl, "198.51.100.1", 1'000);
      one.address = Address::v4(0xc6120000u + i * 100 + static_cast<std::uint32_t>(ttl));
      report.names.push_back({*one.address, std::string(600, '\xff'), "\xc2\x9b\xe2\x82"});
      trace.hops.push_back(one);
    }
    report.traces.push_back(trace);
  }
  world.traced = traced_map(report, world.prefixes, kMapNow);
  world.seen.providers[0].names.name = std::string(254, 'a') + "\xc3\xb6\n";
  const auto map = world.map();
  EXPECT_EQ(map.providers[0].name, std::string(254, 'a'));  // no half of a letter
  const auto object = map_json(map);
  EXPECT_LE(boost::json::serialize(object).size(), wire::kMapBytesMax);
  const auto read = wire::NetworkMap::from_json(
      *json::parse_object(boost::json::serialize(object), wire::kMapBytesMax));
  EXPECT_TRUE(read) << read.error().message;
}

}  // namespace
}  // namespace icon::agent
