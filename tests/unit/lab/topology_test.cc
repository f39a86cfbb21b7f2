#include "lab/topology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace icon::lab {
namespace {

using testing::HasSubstr;

constexpr const char* kSmall = R"(routers: [r1, r2]
hosts: [h1, h2]
links:
  - {a: r1, b: r2, delay_ms: 5, loss_percent: 0.5}
  - {name: left, a: r1, b: h1}
  - {a: r2, b: h2, rate_mbit: 100}
domains:
  - name: one.test
    nodes: [r1, h1]
    records:
      - {name: www, type: TXT, data: '"hello"'}
  - {name: two.test, nodes: [r2]}
providers:
  - {node: h1, priority: 5, weight: 1, port: 443, location: north}
  - {node: h2, domain: two.test, id: "@h1"}
users:
  - {node: h2, count: 3}
)";

std::string error_of(const std::string& yaml) {
  const auto topology = parse_topology(yaml);
  return topology ? "no error" : topology.error().message;
}

TEST(Topology, ReadsNodesLinksDomainsProvidersAndUsers) {
  const auto topology = parse_topology(kSmall);
  ASSERT_TRUE(topology) << topology.error().message;
  ASSERT_EQ(topology->nodes.size(), 6u);
  EXPECT_TRUE(topology->find_node("r2")->is_router());
  EXPECT_FALSE(topology->find_node("h2")->is_router());
  EXPECT_EQ(topology->find_node("h1")->domain, "one.test");
  EXPECT_EQ(topology->find_node("h2")->domain, kDefaultDomain);

  const Link* far = topology->find_link("r1-r2");
  ASSERT_NE(far, nullptr);
  EXPECT_TRUE(far->relayed);
  EXPECT_EQ(far->shape.delay_ms, 5);
  EXPECT_EQ(far->shape.loss_percent, 0.5);
  EXPECT_FALSE(topology->find_link("left")->relayed);
  EXPECT_EQ(topology->find_link("r2-h2")->shape.rate_mbit, 100);

  ASSERT_EQ(topology->providers.size(), 2u);
  EXPECT_EQ(topology->providers[0].domain, "one.test");
  EXPECT_EQ(topology->providers[0].port, 443);
  EXPECT_EQ(topology->providers[0].id, "@h1");
  EXPECT_EQ(topology->providers[1].id, "@h1");
  EXPECT_EQ(topology->users[0].count, 3);
}

TEST(Topology, AddsNameServersAtTheFirstRouterOfTheFirstDomain) {
  const auto topology = parse_topology(kSmall);
  ASSERT_TRUE(topology);
  EXPECT_EQ(topology->dns_node, "dns");
  EXPECT_EQ(topology->resolver_node, "resolver");
  EXPECT_EQ(topology->find_link("dns-r1")->a, "r1");
  EXPECT_EQ(topology->find_link("resolver-r1")->b, "resolver");
}

TEST(Topology, TakesTheNameServersThatTheFileNames) {
  const auto topology = parse_topology(
      "routers: [r]\nhosts: [x, y]\nlinks: [{a: r, b: x}, {a: r, b: y}]\ndns: x\nresolver: y\n");
  ASSERT_TRUE(topology) << topology.error().message;
  EXPECT_EQ(topology->nodes.size(), 3u);
  EXPECT_EQ(topology->dns_node, "x");
}

struct BadCase {
  const char* yaml;
  const char* expected;  // in the message, beside the line and the key
};

class BadTopology : public testing::TestWithParam<BadCase> {};

TEST_P(BadTopology, IsRefusedWithLineAndKey) {
  EXPECT_THAT(error_of(GetParam().yaml), HasSubstr(GetParam().expected));
}

INSTANTIATE_TEST_SUITE_P(
    All, BadTopology,
    testing::Values(
        BadCase{"routers: [r]\nhost: [h]\n", "line 2, host: no such key"},
        BadCase{"routers: [r]\nhosts: [h]\nlinks:\n  - {a: r, b: h, delay: 3}\n",
                "line 4, links[0].delay: no such key"},
        BadCase{"routers: [r]\nhosts: [h]\nlinks:\n  - {a: r, b: g}\n",
                "line 4, links[0].b: no node is named g"},
        BadCase{"routers: [r]\nhosts: [h]\nlinks:\n  - {a: r}\n", "line 4, links[0].b: is missing"},
        BadCase{"routers: [r, r]\n", "line 1, routers[1]: a second node named r"},
        BadCase{"routers: [Roter]\n", "line 1, routers[0]: a node's name"},
        BadCase{"routers: ['a;b']\n", "line 1, routers[0]: a node's name"},
        BadCase{"routers: [r]\nhosts: [h]\nlinks: [{a: r, b: r}]\n", "from r to itself"},
        BadCase{"routers: [r]\nhosts: [h]\nlinks:\n  - {a: r, b: h}\n  - {a: r, b: h}\n",
                "line 5, links[1].name: a second link named r-h"},
        BadCase{"routers: [r]\nhosts: [h]\nlinks: [{a: r, b: h, delay_ms: -1}]\n",
                "line 3, links[0].delay_ms: must be a number from 0"},
        BadCase{"routers: [r]\nhosts: [h]\nlinks: [{a: r, b: h, loss_percent: 101}]\n",
                "line 3, links[0].loss_percent"},
        BadCase{"routers: [r]\nhosts: [h]\nlinks: [{a: r, b: h, delay_ms: .nan}]\n",
                "line 3, links[0].delay_ms"},
        BadCase{"routers: [r]\nhosts: [h]\n", "no path from r to h"},
        BadCase{"routers: [r]\ndomains: [{name: example.com}]\n", "must be <label>.test"},
        BadCase{"routers: [r]\ndomains:\n  - {name: a.test, nodes: [r]}\n  - {name: b.test, nodes: "
                "[r]}\n",
                "line 4, domains[1].nodes[0]: r is in a.test already"},
        BadCase{"routers: [r]\ndomains:\n  - {name: a.test}\n  - {name: a.test}\n",
                "line 4, domains[1].name: a second domain"},
        BadCase{
            "routers: [r]\ndomains:\n  - name: a.test\n    records:\n      - {name: x, type: NS, "
            "data: y}\n",
            "line 5, domains[0].records[0].type"},
        BadCase{"routers: [r]\ndomains: [{name: a.test, records: [{name: '$INCLUDE', type: A, "
                "data: 1.2.3.4}]}]\n",
                "records[0].name: not a DNS name"},
        BadCase{"routers: [r]\ndomains: [{name: a.test, records: [{name: x, type: A, data: "
                "\"1.2.3.4\\nevil A 6.6.6.6\"}]}]\n",
                "records[0].data: must be one line"},
        BadCase{"routers: [r]\nproviders: [{node: r, domain: no.test}]\n",
                "line 2, providers[0].domain: no domain is named no.test"},
        BadCase{"routers: [r]\nproviders: [{node: r, port: 0}]\n", "line 2, providers[0].port"},
        BadCase{"routers: [r]\nproviders: [{node: r, id: '@nobody'}]\n",
                "line 2, providers[0].id: no host is named nobody"},
        BadCase{"routers: [r]\nhosts: [h]\nlinks: [{a: r, b: h}]\nproviders: [{node: h, location: "
                "'a b'}]\n",
                "line 4, providers[0].location"},
        BadCase{"routers: [r]\nusers: [{node: r, count: 251}]\n", "line 2, users[0].count"},
        BadCase{"routers: [r]\nusers: [{node: r}, {node: r}]\n", "users[1].node: r has users"},
        BadCase{"routers: [r]\nhosts: [dns]\nlinks: [{a: r, b: dns}]\n", "a node is named dns"},
        BadCase{"routers: [r]\ndns: r\n", "line 2, dns: r must be a host"},
        BadCase{"routers: [r]\nrouters: [s]\n", "given twice"},
        BadCase{"[1, 2]\n", "must be a map"},
        BadCase{"routers: r\n", "line 1, routers: must be a list"},
        BadCase{"routers: [r\n", "line 2"}, BadCase{"", "must be a map"}));

TEST(Topology, CountsTheNodesThatItAdds) {
  std::string routers;
  std::string links;
  for (int i = 0; i < 249; ++i) {
    routers += (i == 0 ? "r" : ", r") + std::to_string(i);
    if (i > 0) links += "  - {a: r0, b: r" + std::to_string(i) + "}\n";
  }
  EXPECT_THAT(error_of("routers: [" + routers + "]\nlinks:\n" + links), HasSubstr("251 nodes"));
}

TEST(Topology, LimitsTheFileAndItsLists) {
  EXPECT_THAT(error_of(std::string(kTopologyBytesMax + 1, '#')), HasSubstr("at most"));
  std::string many = "routers: [r, s]\nlinks:\n";
  for (std::size_t i = 0; i <= kLinksMax; ++i) many += "  - {a: r, b: s}\n";
  EXPECT_THAT(error_of(many), HasSubstr("1001 entries, at most 1000"));
}

TEST(Topology, TheShippedOnesAreFine) {
  for (const std::string name : {"demo", "two-hosts", "three-hosts"}) {
    const auto topology =
        load_topology(std::string(ICON_SOURCE_DIR) + "/lab/topologies/" + name + ".yaml");
    EXPECT_TRUE(topology) << topology.error().message;
  }
}

TEST(LabName, IsShortAndPlain) {
  EXPECT_TRUE(check_lab_name("demo2"));
  for (const char* name : {"", "a-b", "Demo", "../x", "thirteenchars", "a b"})
    EXPECT_FALSE(check_lab_name(name)) << name;
}

}  // namespace
}  // namespace icon::lab
