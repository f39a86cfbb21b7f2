#include "lab/zones.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace icon::lab {
namespace {

using testing::HasSubstr;
using testing::Not;

class ZonesTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto parsed = parse_topology(R"(routers: [r]
hosts: [h]
links: [{a: r, b: h}]
domains:
  - {name: one.test, nodes: [r]}
  - {name: two.test, nodes: [h], records: [{name: www, type: CNAME, data: h.two.test.}]}
providers:
  - {node: h, priority: 1, weight: 2, port: 3, location: x}
  - {node: h, domain: one.test, id: otherkey}
users: [{node: h, count: 2}]
)");
    ASSERT_TRUE(parsed) << parsed.error().message;
    topology_ = *parsed;
    plan_ = *make_plan(topology_);
    zones_ = make_zones(topology_, plan_, {{"h", "thekey"}});
  }
  std::string zone(const std::string& name) const {
    for (const auto& zone : zones_)
      if (zone.name == name) return zone.text;
    return "no such zone";
  }

  Topology topology_;
  Plan plan_;
  std::vector<Zone> zones_;
};

TEST_F(ZonesTest, DelegateFromTheRootDown) {
  EXPECT_THAT(zone("."), HasSubstr("test. NS ns.test.\n"));
  EXPECT_THAT(zone("."), HasSubstr("in-addr.arpa. NS ns.test.\n"));
  EXPECT_THAT(zone("test."), HasSubstr("two.test. NS ns.two.test.\nns.two.test. A 11.3.0.1\n"));
}

TEST_F(ZonesTest, NameEveryAddressBothWays) {
  EXPECT_THAT(zone("one.test."), HasSubstr("\nr A 11.1.0.1\n"));
  EXPECT_THAT(zone("one.test."), HasSubstr("\ne0.r A 11.1.1.0\n"));
  EXPECT_THAT(zone("two.test."), HasSubstr("\nu2.h A 11.2.128.2\n"));
  EXPECT_THAT(zone("in-addr.arpa."), HasSubstr("\n0.1.1.11 PTR e0.r.one.test.\n"));
  // The far end's address is out of r's block, its name is of its own domain.
  EXPECT_THAT(zone("in-addr.arpa."), HasSubstr("\n1.1.1.11 PTR e0.h.two.test.\n"));
  EXPECT_THAT(zone("in-addr.arpa."), HasSubstr("\n2.128.2.11 PTR u2.h.two.test.\n"));
}

TEST_F(ZonesTest, PublishProviders) {
  EXPECT_THAT(zone("two.test."), HasSubstr("\n_icon._tcp SRV 1 2 3 h.two.test.\n"));
  EXPECT_THAT(zone("two.test."),
              HasSubstr("\n_icon._tcp TXT \"v=icon1 id=thekey loc=x host=h.two.test\"\n"));
  EXPECT_THAT(zone("one.test."), HasSubstr("\"v=icon1 id=otherkey host=h.two.test\""));
  EXPECT_THAT(zone("lab.test."), Not(HasSubstr("_icon")));
  EXPECT_THAT(zone("two.test."), HasSubstr("\nwww CNAME h.two.test.\n"));
}

TEST_F(ZonesTest, ConfigurationNamesEveryZone) {
  const std::string config = knot_config(zones_, *Address::parse("11.3.0.1"), "/run/x");
  for (const auto& zone : zones_)
    EXPECT_THAT(config, HasSubstr("domain: " + zone.name + "\n    file: " + zone.file));
}

}  // namespace
}  // namespace icon::lab
