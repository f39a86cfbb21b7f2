#include "supervisor/net/rules.h"

#include <gtest/gtest.h>

namespace icon::net {
namespace {

const std::string kIcon(52, 'a');
const std::string kPeerB = "bbbbbbbb" + std::string(44, 'a');
const std::string kPeerC = "cccccccc" + std::string(44, 'a');
const PublicAddresses kPublic{*Address::parse("192.0.2.1"), {}};
const std::map<std::string, std::uint32_t> kMarks{{kPeerB, 100}, {kPeerC, 200}};

IconRules serving() {
  IconRules icon;
  icon.network.icon_id = kIcon;
  icon.network.overlay = *Address::parse("100.64.0.1");
  icon.network.ports = {{Protocol::kTcp, 80, 8080}, {Protocol::kUdp, 53, 5353}};
  icon.phase = Phase::kServing;
  icon.attached = true;
  return icon;
}

bool has(const Elements& elements, const std::string& set, const std::string& key) {
  return elements.contains({set, key});
}

TEST(Rules, AServingIconIsTranslated) {
  const Elements elements = elements_of(serving(), kPublic, {});
  EXPECT_EQ(elements.at({"dnat_tcp", "8080"}), "100.64.0.1 . 80");
  EXPECT_EQ(elements.at({"dnat_udp", "5353"}), "100.64.0.1 . 53");
  EXPECT_EQ(elements.at({"snat_udp", "100.64.0.1 . 53"}), "192.0.2.1 . 5353");
  EXPECT_TRUE(has(elements, "veth_source", "\"ivaaaaaaaa\" . 100.64.0.1"));
  EXPECT_FALSE(has(elements, "muted_veths", "\"ivaaaaaaaa\""));
}

TEST(Rules, AnArrivingIconIsNotTranslatedAndWaits) {
  IconRules icon = serving();
  icon.phase = Phase::kArriving;
  icon.hold_mark = 77;
  icon.network.stub_hosts = {kPeerB};
  icon.network.previous_host = kPeerB;
  const Elements elements = elements_of(icon, kPublic, kMarks);
  EXPECT_FALSE(has(elements, "dnat_tcp", "8080"));
  EXPECT_EQ(elements.at({"arriving_from", "\"ivaaaaaaaa\""}), "77");
  EXPECT_EQ(elements.at({"arriving_to", "100.64.0.1"}), "77");
  EXPECT_EQ(elements.at({"previous_host", "100.64.0.1"}), "100");
  EXPECT_TRUE(has(elements, "deliver_to", "\"itbbbbbbbb\" . 100.64.0.1"));
}

TEST(Rules, AStubForwardsOrRedirects) {
  IconRules icon = serving();
  icon.phase = Phase::kMoved;
  icon.has_stub = true;
  icon.stub = {kPeerB, StubMode::kForward, 0};
  Elements elements = elements_of(icon, kPublic, kMarks);
  EXPECT_EQ(elements.at({"dnat_tcp", "8080"}), "100.64.0.1 . 80");
  EXPECT_TRUE(has(elements, "deliver_from", "\"itbbbbbbbb\" . 100.64.0.1"));
  EXPECT_TRUE(has(elements, "muted_veths", "\"ivaaaaaaaa\"")) << "the frozen original is silent";
  for (const char* set : {"stub_to", "stub_from", "stub_begun"})
    EXPECT_TRUE(has(elements, set, "100.64.0.1")) << set;
  icon.stub = {kPeerB, StubMode::kRedirect, 4000};
  icon.attached = false;
  elements = elements_of(icon, kPublic, kMarks);
  EXPECT_EQ(elements.at({"dnat_tcp", "8080"}), "192.0.2.1 . 4000");
  EXPECT_EQ(elements.at({"dnat_udp", "5353"}), "100.64.0.1 . 53") << "UDP follows";
  EXPECT_FALSE(has(elements, "muted_veths", "\"ivaaaaaaaa\""));
}

TEST(Rules, ARepointedStubStillAcceptsTheEarlierHost) {
  IconRules icon = serving();
  icon.phase = Phase::kMoved;
  icon.has_stub = true;
  icon.stub = {kPeerC, StubMode::kForward, 0};
  icon.earlier_stub_peers = {kPeerB};
  const Elements elements = elements_of(icon, kPublic, kMarks);
  EXPECT_TRUE(has(elements, "deliver_from", "\"itbbbbbbbb\" . 100.64.0.1"));
  EXPECT_TRUE(has(elements, "deliver_from", "\"itcccccccc\" . 100.64.0.1"));
}

TEST(Rules, NothingIsLeftOfAForgottenIcon) {
  IconRules icon = serving();
  icon.phase = Phase::kReserved;
  EXPECT_TRUE(elements_of(icon, kPublic, kMarks).empty());
}

TEST(Rules, AChangeIsOneScriptWithRemovalsFirst) {
  const Elements before{{{"dnat_tcp", "80"}, "100.64.0.1 . 80"}, {{"overlays", "100.64.0.1"}, ""}};
  const Elements after{{{"dnat_tcp", "80"}, "192.0.2.1 . 4000"}};
  EXPECT_EQ(change_script(before, before, after),
            "delete element ip icon overlays { 100.64.0.1 }\n"
            "delete element ip icon dnat_tcp { 80 }\n"
            "add element ip icon dnat_tcp { 80 : 192.0.2.1 . 4000 }\n");
  EXPECT_EQ(change_script(before, before, before), "");
  EXPECT_EQ(change_script(before, {}, after).find("overlays"), std::string::npos)
      << "what is not removable stays";
}

TEST(Rules, Ipv6StandsBesideInItsOwnTable) {
  IconRules icon = serving();
  icon.overlay6 = *Address::parse("fd49:636f:6e31::1");
  EXPECT_FALSE(has(elements_of(icon, kPublic, {}), "6/dnat_tcp", "8080")) << "nothing to dial";
  const PublicAddresses both{kPublic.v4, *Address::parse("2001:db8::1")};
  const Elements elements = elements_of(icon, both, {});
  EXPECT_EQ(elements.at({"6/dnat_tcp", "8080"}), "fd49:636f:6e31::1 . 80");
  EXPECT_EQ(elements.at({"6/snat_udp", "fd49:636f:6e31::1 . 53"}), "2001:db8::1 . 5353");
  EXPECT_EQ(change_script({}, {}, {{{"6/overlays", "fd49:636f:6e31::1"}, ""}}),
            "add element ip6 icon overlays { fd49:636f:6e31::1 }\n");
  const auto read = parse_elements(R"({"nftables":[{"set":{"family":"ip6","name":"overlays",
    "elem":["fd49:636f:6e31::1"]}}]})");
  ASSERT_TRUE(read);
  EXPECT_TRUE(has(*read, "6/overlays", "fd49:636f:6e31::1"));
}

TEST(Rules, PartsAreWhole) {
  using Parts = std::vector<std::string>;
  EXPECT_EQ(parts_of({{"deliver_to", "\"itx\" . 100.64.0.1"}, ""}),
            (Parts{"\"itx\"", "100.64.0.1"}));
  EXPECT_EQ(parts_of({{"dnat_tcp", "80"}, "100.64.0.1 . 80"}), (Parts{"80", "100.64.0.1", "80"}));
  EXPECT_EQ(parts_of(serving()), (Parts{"100.64.0.1", "\"ivaaaaaaaa\""}));
}

TEST(Rules, OpenConnectionsFollowWhenNewOnesAreRedirected) {
  IconRules icon = serving();
  icon.phase = Phase::kMoved;
  icon.has_stub = true;
  icon.stub = {kPeerB, StubMode::kRedirect, 4000};
  const Elements elements = elements_of(icon, kPublic, kMarks);
  EXPECT_EQ(elements.at({"open_tcp", "8080"}), "100.64.0.1 . 80");
  EXPECT_EQ(elements.at({"snat_tcp", "100.64.0.1 . 80"}), "192.0.2.1 . 8080");
}

TEST(Rules, ReadsElementsBack) {
  const auto elements = parse_elements(R"({"nftables":[{"metainfo":{"version":"1.0.6"}},
    {"map":{"name":"dnat_tcp","elem":[[80,{"concat":["100.64.0.1",8080]}]]}},
    {"map":{"name":"tunnel_mark","elem":[["itbbbbbbbb",1229127681]]}},
    {"set":{"name":"deliver_to","elem":[{"concat":["itbbbbbbbb","100.64.0.1"]}]}},
    {"set":{"name":"overlays"}}]})");
  ASSERT_TRUE(elements) << elements.error().message;
  const Elements expected{{{"dnat_tcp", "80"}, "100.64.0.1 . 8080"},
                          {{"tunnel_mark", "\"itbbbbbbbb\""}, "1229127681"},
                          {{"deliver_to", "\"itbbbbbbbb\" . 100.64.0.1"}, ""}};
  EXPECT_EQ(*elements, expected);
  const auto counted = parse_elements(R"({"nftables":[{"set":{"family":"ip","name":"stub_to",
      "elem":[{"elem":{"val":"100.64.0.1","counter":{"packets":3,"bytes":180}}}]}}]})");
  ASSERT_TRUE(counted);
  EXPECT_EQ(*counted, (Elements{{{"stub_to", "100.64.0.1"}, ""}}));
  EXPECT_FALSE(parse_elements("[]"));
  EXPECT_FALSE(parse_elements(R"({"nftables":[{"map":{"name":"x","elem":[5]}}]})"));
}

TEST(Rules, TheTableNamesTheAddressAndTheExternalInterface) {
  const std::string script = table_script(kPublic, "eth1");
  EXPECT_NE(script.find("ip daddr 192.0.2.1 dnat"), std::string::npos);
  EXPECT_NE(script.find("oifname \"eth1\" meta l4proto"), std::string::npos);
  EXPECT_EQ(table_script(kPublic, "").find("eth1"), std::string::npos);
  EXPECT_EQ(script.rfind("table ip icon\nflush table ip icon\n", 0), 0u) << "one transaction";
}

}  // namespace
}  // namespace icon::net
