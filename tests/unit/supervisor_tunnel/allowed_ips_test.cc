#include "supervisor/tunnel/wg/allowed_ips.h"

#include <map>
#include <random>

#include "tests/unit/supervisor_tunnel/world.h"

namespace icon::tunnel::wg {
namespace {

class AllowedIpsTest : public testing::Test {
 protected:
  void insert(std::string_view text, PeerId peer) { EXPECT_TRUE(ips.insert(prefix(text), peer)); }
  PeerId lookup(std::string_view text) const { return ips.lookup(address(text)); }
  std::string listing() const {
    std::string text;
    ips.for_each([&](const Prefix& each, PeerId peer) {
      text += each.to_string() + "=" + std::to_string(peer) + " ";
    });
    return text;
  }

  AllowedIps ips;
};

TEST_F(AllowedIpsTest, LongestPrefixWins) {
  insert("0.0.0.0/0", 1);
  insert("10.0.0.0/8", 2);
  insert("10.1.0.0/16", 3);
  insert("10.1.2.3/32", 4);
  EXPECT_EQ(lookup("192.0.2.1"), 1U);
  EXPECT_EQ(lookup("10.200.0.1"), 2U);
  EXPECT_EQ(lookup("10.1.200.1"), 3U);
  EXPECT_EQ(lookup("10.1.2.3"), 4U);
  EXPECT_EQ(lookup("10.1.2.2"), 3U);
  EXPECT_EQ(lookup("::1"), kNoPeer);
}

TEST_F(AllowedIpsTest, Ipv6IsApart) {
  insert("::/0", 1);
  insert("2001:db8::/32", 2);
  insert("2001:db8::1/128", 3);
  EXPECT_EQ(lookup("2001:db8::1"), 3U);
  EXPECT_EQ(lookup("2001:db8::2"), 2U);
  EXPECT_EQ(lookup("fe80::1"), 1U);
  EXPECT_EQ(lookup("10.0.0.1"), kNoPeer);
}

TEST_F(AllowedIpsTest, AnEmptyOneKnowsNobody) {
  EXPECT_EQ(lookup("10.0.0.1"), kNoPeer);
  EXPECT_EQ(lookup("::"), kNoPeer);
  EXPECT_FALSE(ips.remove(prefix("0.0.0.0/0"), 1));
  ips.remove_peer(1);
  EXPECT_EQ(listing(), "");
}

TEST_F(AllowedIpsTest, APrefixMovesToWhoAsksLast) {
  insert("10.0.0.0/8", 1);
  insert("10.0.0.0/8", 2);
  EXPECT_EQ(ips.size(), 1U);
  EXPECT_EQ(lookup("10.0.0.1"), 2U);
  EXPECT_FALSE(ips.remove(prefix("10.0.0.0/8"), 1));
  EXPECT_TRUE(ips.remove(prefix("10.0.0.0/8"), 2));
  EXPECT_EQ(lookup("10.0.0.1"), kNoPeer);
}

TEST_F(AllowedIpsTest, RefusesALengthThatIsNone) {
  EXPECT_EQ(ips.insert({address("10.0.0.0"), 33}, 1).error().code, Code::kInvalid);
  EXPECT_EQ(ips.insert({address("10.0.0.0"), -1}, 1).error().code, Code::kInvalid);
  EXPECT_EQ(ips.insert({address("::"), 129}, 1).error().code, Code::kInvalid);
}

TEST_F(AllowedIpsTest, HasALimitAndGivesSpaceBack) {
  for (std::uint32_t i = 0; i < AllowedIps::kPrefixesMax; ++i)
    ASSERT_TRUE(ips.insert({Address::v4(i * 2654435761U), 32}, i % 50));
  EXPECT_EQ(ips.insert(prefix("::/0"), 1).error().code, Code::kLimit);
  // One that is already there may still move.
  EXPECT_TRUE(ips.insert({Address::v4(0U), 32}, 5));
  for (PeerId peer = 0; peer < 50; ++peer) ips.remove_peer(peer);
  EXPECT_EQ(ips.size(), 0U);
  EXPECT_EQ(listing(), "");
  insert("::/0", 1);
}

// Against a list that is searched from end to end.
TEST_F(AllowedIpsTest, AgreesWithAListOnRandomPrefixes) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  std::map<Prefix, PeerId> list;
  const auto random_address = [&](bool is_v4) {
    // Few distinct bits, so that prefixes meet.
    std::array<std::uint8_t, 16> bytes{};
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random() & random() & 0x83);
    return is_v4 ? Address::v4({bytes[0], bytes[1], bytes[2], bytes[3]}) : Address::v6(bytes);
  };
  for (int round = 0; round < 4'000; ++round) {
    const bool is_v4 = random() % 2 == 0;
    const Prefix chosen =
        Prefix::of(random_address(is_v4), static_cast<int>(random() % (is_v4 ? 33 : 129)));
    const PeerId peer = random() % 20;
    if (random() % 3 != 0) {
      ASSERT_TRUE(ips.insert(chosen, peer));
      list[chosen] = peer;
    } else if (random() % 50 == 0) {
      ips.remove_peer(peer);
      std::erase_if(list, [&](const auto& item) { return item.second == peer; });
    } else if (!list.empty()) {
      const auto at = std::next(list.begin(), static_cast<std::ptrdiff_t>(random() % list.size()));
      ASSERT_TRUE(ips.remove(at->first, at->second)) << at->first.to_string();
      list.erase(at);
    }
    ASSERT_EQ(ips.size(), list.size());
    for (int i = 0; i < 10; ++i) {
      const Address sought = random_address(random() % 2 == 0);
      PeerId expected = kNoPeer;
      int best = -1;
      for (const auto& [each, owner] : list)
        if (each.address.is_v4() == sought.is_v4() && each.length > best && each.contains(sought)) {
          best = each.length;
          expected = owner;
        }
      ASSERT_EQ(ips.lookup(sought), expected) << sought.to_string() << "\n" << listing();
    }
  }
  std::map<Prefix, PeerId> told;
  ips.for_each([&](const Prefix& each, PeerId peer) { told[each] = peer; });
  EXPECT_EQ(told, list);
}

}  // namespace
}  // namespace icon::tunnel::wg
