#include "wire/overlay.h"

#include <gtest/gtest.h>

#include <set>

namespace icon::wire {
namespace {

TEST(Overlay, InsideTheSharedBlockAndTheSameEverywhere) {
  const auto block = *Prefix::parse("100.64.0.0/10");
  std::set<Address> seen;
  for (int i = 0; i < 500; ++i) {
    PublicKey key;
    key.bytes[0] = static_cast<std::uint8_t>(i);
    key.bytes[31] = static_cast<std::uint8_t>(i >> 8);
    const auto address = overlay_address(key);
    EXPECT_TRUE(block.contains(address));
    EXPECT_NE(address.to_string(), "100.64.0.0");
    EXPECT_NE(address.to_string(), "100.127.255.255");
    EXPECT_EQ(address, overlay_address(key));
    seen.insert(address);
    const auto mac = overlay_mac(key);
    EXPECT_EQ(mac[0] & 3, 2) << "locally administered, unicast";
    EXPECT_EQ(mac, overlay_mac(key));
  }
  EXPECT_GT(seen.size(), 490u);
}

TEST(Overlay, TheIpv6AddressFollowsFromTheKeyToo) {
  const PublicKey one = KeyPair::generate().public_key();
  const PublicKey other = KeyPair::generate().public_key();
  EXPECT_TRUE(Prefix::parse("fd49:636f:6e31::/48")->contains(overlay_address6(one)));
  EXPECT_EQ(overlay_address6(one), overlay_address6(one));
  EXPECT_NE(overlay_address6(one), overlay_address6(other));
}

}  // namespace
}  // namespace icon::wire
