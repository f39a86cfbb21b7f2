#include "agent/supervisor_link.h"

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

namespace icon::agent {
namespace {

using Kind = SupervisorEvent::Kind;

json::Object self_object(const KeyPair& icon, const KeyPair& supervisor) {
  return {{"icon", icon.id()},
          {"name", "shop"},
          {"epoch", 3},
          {"overlay", "100.64.1.1"},
          {"supervisor", json::Object{{"id", supervisor.id()},
                                      {"provider_name", "far"},
                                      {"api", "192.0.2.1:7946"},
                                      {"public_address", "192.0.2.1"}}},
          {"ports", json::Array{json::Object{{"proto", "tcp"}, {"container", 6379}, {"public", 1}},
                                json::Object{{"proto", "udp"}, {"container", 53}}}},
          {"lease", nullptr},
          {"providers", json::Array{json::Object{{"name", "near"}}}}};
}

TEST(SupervisorLink, ReadsSelf) {
  const auto icon = KeyPair::generate();
  const auto supervisor = KeyPair::generate();
  const auto self = parse_self(boost::json::serialize(self_object(icon, supervisor)));
  ASSERT_TRUE(self) << self.error().message;
  EXPECT_EQ(self->icon, icon.public_key());
  EXPECT_EQ(self->supervisor, supervisor.public_key());
  EXPECT_EQ(self->epoch, 3);
  EXPECT_EQ(self->api.to_string(), "192.0.2.1:7946");
  EXPECT_EQ(self->tcp_ports, std::vector<std::uint16_t>{6379});
  EXPECT_FALSE(self->lease);
  EXPECT_EQ(self->providers.size(), 1U);
}

TEST(SupervisorLink, RefusesNonsenseAboutSelf) {
  const auto key = KeyPair::generate();
  for (const char* field : {"icon", "epoch", "supervisor"}) {
    auto object = self_object(key, key);
    object.erase(field);
    EXPECT_FALSE(parse_self(boost::json::serialize(object))) << field;
  }
  auto object = self_object(key, key);
  object["ports"] = json::Array{json::Object{{"container", 70000}}};
  EXPECT_FALSE(parse_self(boost::json::serialize(object)));
  object = self_object(key, key);
  object["lease"] = "paid";
  EXPECT_FALSE(parse_self(boost::json::serialize(object)));
  EXPECT_FALSE(parse_self("{}"));
  EXPECT_FALSE(parse_self("[1]"));
}

TEST(SupervisorLink, ReadsEvents) {
  EXPECT_EQ(parse_event(R"({"event":"hello"})")->kind, Kind::kHello);
  const auto quiesce = parse_event(R"({"event":"quiesce","migration":"m1"})");
  EXPECT_EQ(quiesce->kind, Kind::kQuiesce);
  EXPECT_EQ(quiesce->migration, "m1");
  EXPECT_EQ(parse_event(R"({"event":"moved","migration":"m1","epoch":4})")->epoch, 4);
  EXPECT_EQ(parse_event(R"({"event":"rolled_back","migration":"m1","reason":"full"})")->reason,
            "full");
  EXPECT_EQ(parse_event(R"({"event":"hold"})")->kind, Kind::kHold);
  EXPECT_EQ(parse_event(R"({"event":"from-the-future","x":1})")->kind, Kind::kUnknown);
}

TEST(SupervisorLink, AnOperatorsTargetHasSeveralForms) {
  EXPECT_EQ(parse_event(R"({"event":"migrate","to":"near"})")->target, "near");
  EXPECT_EQ(parse_event(R"({"event":"migrate","to":{"name":"near"}})")->target, "near");
  EXPECT_EQ(parse_event(R"({"event":"migrate","to":{"name":"n","api":"1.2.3.4:5"}})")->target,
            "1.2.3.4:5");
  EXPECT_FALSE(parse_event(R"({"event":"migrate"})"));
  EXPECT_FALSE(parse_event(R"({"event":"migrate","to":{}})"));
  EXPECT_FALSE(parse_event(R"({"event":"migrate","to":7})"));
}

TEST(SupervisorLink, RefusesNonsenseEvents) {
  EXPECT_FALSE(parse_event(""));
  EXPECT_FALSE(parse_event("{}"));
  EXPECT_FALSE(parse_event(R"({"event":7})"));
  EXPECT_FALSE(parse_event(R"({"event":"moved","epoch":-1})"));
  EXPECT_FALSE(parse_event(std::string(1 << 20, '{')));
}

}  // namespace
}  // namespace icon::agent
