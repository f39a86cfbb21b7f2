#include "stub/route.h"

#include <gtest/gtest.h>

namespace icon::stub {
namespace {

Route a_route(std::uint16_t dialled) { return {"abc", dialled, "198.51.100.7", 6379, 5'000}; }

TEST(Route, TravelsAsJson) {
  const auto back = Route::from_json(a_route(80).to_json());
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, a_route(80));
}

TEST(Route, MayNotKnowItsTargetYet) {
  const auto route =
      Route::from_json(json::Object{{"dialled_port", 80}, {"expires_ms", 5'000}, {"icon", "abc"}});
  ASSERT_TRUE(route);
  EXPECT_TRUE(route->host.empty());
}

TEST(Route, RefusesHalfATarget) {
  auto object = a_route(80).to_json();
  object["port"] = 0;
  EXPECT_FALSE(Route::from_json(object));
  object["port"] = 65536;
  EXPECT_FALSE(Route::from_json(object));
}

TEST(Route, RefusesHostsThatWouldChangeTheAnswer) {
  for (const char* host : {"a b", "a\r\nX: y", "a/b", "a@b", "[::1]", "a:80", "a..b", "-\"", "",
                           ".a", "10.1", "2130706433", "a."}) {
    EXPECT_FALSE(is_host(host)) << host;
  }
  for (const char* host :
       {"198.51.100.7", "2001:db8::1", "edge-1.example.net", "localhost", "_a.b"})
    EXPECT_TRUE(is_host(host)) << host;
  EXPECT_FALSE(is_host(std::string(64, 'a')));
  EXPECT_TRUE(is_host(std::string(63, 'a')));
}

TEST(RouteTable, FindsByDialledPortUntilTheLeaseEnds) {
  const auto table = RouteTable::from_routes({a_route(80), a_route(443)});
  ASSERT_TRUE(table);
  ASSERT_NE(table->find(80, Address(), 4'999), nullptr);
  EXPECT_EQ(table->find(80, Address(), 4'999)->dialled_port, 80);
  EXPECT_EQ(table->find(80, Address(), 5'000), nullptr);
  EXPECT_EQ(table->find(81, Address(), 0), nullptr);
}

TEST(RouteTable, RefusesTwoRoutesForOnePort) {
  const auto table = RouteTable::from_routes({a_route(80), a_route(80)});
  ASSERT_FALSE(table);
  EXPECT_EQ(table.error().code, Code::kConflict);
}

TEST(RouteTable, TravelsAsJsonAndIsBounded) {
  const auto table = RouteTable::from_routes({a_route(80), a_route(443)});
  const auto back = RouteTable::from_json(table->to_json());
  ASSERT_TRUE(back);
  EXPECT_EQ(back->size(), 2u);
  EXPECT_FALSE(RouteTable::from_json(json::Object{{"routes", json::Array{1}}}));
  const auto too_many = RouteTable::from_routes(std::vector<Route>(kRoutesMax + 1));
  ASSERT_FALSE(too_many);
  EXPECT_EQ(too_many.error().code, Code::kLimit);
}

// Users of one network are led elsewhere; everybody else as before, or nowhere.
TEST(RouteTable, ANetworkOfItsOwn) {
  Route everybody{"icon", 80, "192.0.2.9", 80, 1'000};
  Route led = everybody;
  led.host = "192.0.2.1";
  led.from = *Prefix::parse("198.51.100.0/24");
  led.remember_s = 30;
  const auto table = RouteTable::from_routes({everybody, led});
  ASSERT_TRUE(table);
  const auto again = RouteTable::from_json(table->to_json());
  ASSERT_TRUE(again);
  const auto host = [&](const char* user) {
    const Route* route = again->find(80, *Address::parse(user), 0);
    return route == nullptr ? "" : route->host;
  };
  EXPECT_EQ(host("198.51.100.7"), "192.0.2.1");
  EXPECT_EQ(host("198.51.101.7"), "192.0.2.9");
  EXPECT_FALSE(RouteTable::from_routes({led, led}));
  const auto alone = RouteTable::from_routes({led});
  ASSERT_TRUE(alone);
  EXPECT_EQ(alone->find(80, *Address::parse("203.0.113.1"), 0), nullptr);
  auto odd = led.to_json();
  odd["from"] = "198.51.100.0/23";
  EXPECT_FALSE(Route::from_json(odd));
}

}  // namespace
}  // namespace icon::stub
