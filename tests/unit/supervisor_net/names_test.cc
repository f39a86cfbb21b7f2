#include "supervisor/net/names.h"

#include <gtest/gtest.h>

#include "base/keys.h"
#include "wire/overlay.h"

namespace icon::net {
namespace {

TEST(Names, FitIntoInterfaceNames) {
  const std::string id = KeyPair::generate().id();
  EXPECT_EQ(veth_name(id), "iv" + id.substr(0, 8));
  EXPECT_EQ(hold_name(id), "ih" + id.substr(0, 8));
  EXPECT_EQ(tunnel_name(id), "it" + id.substr(0, 8));
  EXPECT_LT(veth_name(id).size(), 16u);
  EXPECT_EQ(netns_name_of(id, id), "icon-" + id.substr(0, 8) + "-" + id.substr(0, 8));
}

TEST(Names, OnlyIdsBecomeNames) {
  EXPECT_TRUE(check_id(KeyPair::generate().id()));
  EXPECT_FALSE(check_id("\"; flush ruleset; \""));
  EXPECT_FALSE(check_id("../../etc"));
  EXPECT_FALSE(check_id(""));
}

TEST(Names, MarksOfTunnelsAndHoldsAreApart) {
  EXPECT_LT(kTunnelMarkBase + kTunnelsMax, kHoldMarkBase);
  EXPECT_LT(kHoldMarkBase + kHoldsMax, kReleaseMark);
  EXPECT_EQ(kTunnelMarkBase & ~0xffff8000u, 0u);
}

TEST(Overlay, FollowsFromTheKeyAndStaysInItsBlock) {
  const Prefix block = *Prefix::parse("100.64.0.0/10");
  for (int i = 0; i < 200; ++i) {
    const PublicKey key = KeyPair::generate().public_key();
    const Address address = wire::overlay_address(key);
    EXPECT_TRUE(block.contains(address));
    EXPECT_EQ(address, wire::overlay_address(key));
    EXPECT_NE(address, *Address::parse("100.64.0.0"));
    EXPECT_NE(address, *Address::parse("100.127.255.255"));
    const auto mac = wire::overlay_mac(key);
    EXPECT_EQ(mac[0] & 0x03, 0x02) << "locally administered, unicast";
  }
}

// Every host, also one that runs another version, must arrive at the same address.
TEST(Overlay, KnownAnswer) {
  const PublicKey zero{};
  EXPECT_EQ(wire::overlay_address(zero).to_string(), "100.115.121.24");
}

}  // namespace
}  // namespace icon::net
