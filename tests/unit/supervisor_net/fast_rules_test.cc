#include "supervisor/net/fast_rules.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <cstring>

#include "supervisor/net/names.h"

namespace icon::net {
namespace {

const std::string kIcon(52, 'a');
const std::string kPeerB = "bbbbbbbb" + std::string(44, 'a');
const std::map<std::string, std::uint32_t> kMarks{{kPeerB, kTunnelMarkBase + 7}};
const std::uint32_t kOverlay = htonl(0x64400001);
constexpr FastPlace kHome{.veth = 5, .main = 5, .main_link = kIconLinkVeth};

IconRules serving() {
  IconRules icon;
  icon.network.icon_id = kIcon;
  icon.network.overlay = *Address::parse("100.64.0.1");
  icon.network.ports = {{Protocol::kTcp, 80, 8080}, {Protocol::kUdp, 53, 5353}};
  icon.phase = Phase::kServing;
  icon.attached = true;
  return icon;
}

template <class Value>
Value value_at(const FastEntries& entries, FastMap map, const std::string& key) {
  Value value{};
  const auto found = entries.find({map, key});
  EXPECT_NE(found, entries.end());
  if (found != entries.end()) std::memcpy(&value, found->second.data(), sizeof value);
  return value;
}

bool from_icon_open(const FastEntries& entries) {
  return value_at<icon_interface>(entries, FastMap::kInterfaces, fast_bytes(5)).closed == 0;
}

icon_overlay overlay_of(const FastEntries& entries) {
  return value_at<icon_overlay>(entries, FastMap::kOverlays, fast_bytes(kOverlay));
}

TEST(FastRules, AServingIconIsServed) {
  const auto entries = fast_entries_of(serving(), kHome, {});
  icon_port_key key{};
  key.port = htons(8080);
  key.protocol = IPPROTO_TCP;
  const auto port = value_at<icon_port>(entries, FastMap::kPorts, fast_bytes(key));
  EXPECT_EQ(port.overlay, kOverlay);
  EXPECT_EQ(port.port, htons(80));
  EXPECT_EQ(overlay_of(entries).from_outside.to, 5u);
  EXPECT_EQ(overlay_of(entries).from_tunnel.to, 5u);
  EXPECT_TRUE(from_icon_open(entries));
}

TEST(FastRules, WhatIsMutedIsLeftToTheRules) {
  IconRules icon = serving();
  icon.muted = true;
  EXPECT_FALSE(from_icon_open(fast_entries_of(icon, kHome, {})));
  icon = serving();
  icon.phase = Phase::kMoved;
  EXPECT_FALSE(from_icon_open(fast_entries_of(icon, kHome, {}))) << "the frozen original";
}

// The routes decide, and go on deciding when the supervisor that held it is killed.
TEST(FastRules, WhatIsHeldIsLeftToTheRoutes) {
  const auto entries = fast_entries_of(serving(), {.veth = 5, .main = 0}, kMarks);
  EXPECT_FALSE(entries.contains({FastMap::kOverlays, fast_bytes(kOverlay)}));
  EXPECT_TRUE(from_icon_open(entries)) << "answers to what arrived before still leave";
}

TEST(FastRules, AnArrivingIconIsLeftToTheRules) {
  IconRules icon = serving();
  icon.phase = Phase::kArriving;
  icon.network.stub_hosts = {kPeerB};
  const auto entries = fast_entries_of(icon, kHome, kMarks);
  EXPECT_FALSE(from_icon_open(entries));
  EXPECT_EQ(overlay_of(entries).from_outside.to, 0u);
  EXPECT_EQ(overlay_of(entries).from_tunnel.to, 0u);
  // Where a stub of it still stands, users go on by the stub.
  icon.has_stub = true;
  icon.stub = {kPeerB, StubMode::kForward, 0};
  const auto with_stub = fast_entries_of(icon, {.veth = 5, .main = 9}, kMarks);
  EXPECT_EQ(overlay_of(with_stub).from_outside.to, 9u);
  EXPECT_EQ(overlay_of(with_stub).from_tunnel.to, 0u);
}

TEST(FastRules, PeersMayDoWhatTheRulesAllow) {
  IconRules icon = serving();
  icon.phase = Phase::kMoved;
  icon.attached = false;
  icon.network.stub_hosts = {kPeerB};
  icon.has_stub = true;
  icon.stub = {kPeerB, StubMode::kRedirect, 4000};
  const auto entries = fast_entries_of(icon, {.main = 9}, kMarks);
  EXPECT_EQ(value_at<std::uint32_t>(entries, FastMap::kDeliveries,
                                    fast_bytes(icon_delivery_key{7, kOverlay})),
            std::uint32_t{kIconDeliverTo | kIconDeliverFrom});
  EXPECT_EQ(overlay_of(entries).redirects_tcp, 1u);
}

TEST(FastRules, NothingIsLeftOfAForgottenIconAndNothingIsRoutedNowhere) {
  IconRules icon = serving();
  icon.phase = Phase::kReserved;
  EXPECT_TRUE(fast_entries_of(icon, kHome, kMarks).empty());
  EXPECT_FALSE(
      fast_entries_of(serving(), {}, {}).contains({FastMap::kOverlays, fast_bytes(kOverlay)}));
}

}  // namespace
}  // namespace icon::net
