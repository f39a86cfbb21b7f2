#include "wire/network_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace icon::wire {
namespace {

using ::testing::HasSubstr;

NetworkMap small_map() {
  NetworkMap map;
  map.seen_ms = 2;
  map.routers = {{*Address::parse("198.51.100.1"),
                  "gw.example.net",
                  "example.net",
                  900,
                  true,
                  {*Address::parse("198.51.100.2")}}};
  map.providers = {{"edge", "id", "example.net", "dns", "offered", "", "", 5}};
  MapPath path;
  path.prefix = *Prefix::parse("203.0.113.0/24");
  path.target = *Address::parse("203.0.113.9");
  path.method = "udp";
  path.hops = {{0, true, 3}, {-1, false, 0}};
  path.estimates = {{0, 1, 700, 80, "on_path"}};
  map.paths = {path};
  return map;
}

TEST(NetworkMap, ComesBackAsItWas) {
  const auto map = small_map();
  const auto read = NetworkMap::from_json(map.to_json());
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->to_json(), map.to_json());
  EXPECT_EQ(read->paths[0].hops[0].back_hops, 3);
  EXPECT_TRUE(read->paths[0].hops[0].inferred);
}

void expect_refused(const std::function<void(json::Object&)>& spoil, const char* why) {
  auto object = small_map().to_json();
  spoil(object);
  const auto read = NetworkMap::from_json(object);
  ASSERT_FALSE(read) << why;
  EXPECT_THAT(read.error().message, HasSubstr(why));
}

TEST(NetworkMap, WhatIsAbsurdIsRefused) {
  const auto path = [](json::Object& map) -> json::Object& {
    return map["paths"].as_array()[0].as_object();
  };
  expect_refused([](auto& map) { map["version"] = 2; }, "version");
  expect_refused([](auto& map) { map["paths"] = json::Array(257, map["paths"].as_array()[0]); },
                 "paths");
  expect_refused([](auto& map) { map["routers"].as_array()[0].as_object()["name"] = "a\x1b[2J"; },
                 "name");
  expect_refused([](auto& map) { map["here"].as_object()["name"] = std::string(256, 'a'); },
                 "name");
  expect_refused([&](auto& map) { path(map)["target"] = "192.0.2.1"; }, "not in 203.0.113.0/24");
  expect_refused([&](auto& map) { path(map)["hops"].as_array()[0].as_object()["router"] = 1; },
                 "router");
  expect_refused([&](auto& map) { path(map)["hops"].as_array()[0].as_object()["router"] = -2; },
                 "router");
  expect_refused([&](auto& map) { path(map)["hops"] = json::Array(65, json::Object()); }, "hops");
  expect_refused(
      [&](auto& map) { path(map)["estimates"].as_array()[0].as_object()["provider"] = 1; },
      "provider");
  expect_refused([](auto& map) { map["providers"] = json::Array(); }, "provider");
  expect_refused([](auto& map) { map["routers"].as_array()[0] = "x"; }, "routers");
}

}  // namespace
}  // namespace icon::wire
