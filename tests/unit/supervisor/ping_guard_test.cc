// The limits that keep strangers from pinging others through a provider.
#include "supervisor/ping_guard.h"

#include <gtest/gtest.h>

namespace icon::supervisor {
namespace {

const Address kCaller = *Address::parse("198.51.100.7");

class PingGuardTest : public ::testing::Test {
 protected:
  static Address user(int network, int host) {
    return Address::v4(0x08080000u + static_cast<std::uint32_t>(network * 256 + host));
  }
  // How many of `targets` would be pinged; -1 when the request is refused as a whole.
  int admitted(PingGuard& guard, const std::vector<Address>& targets,
               const std::string& key = "icon", const Address& source = kCaller) {
    const auto figures = guard.admit(key, source, targets);
    if (!figures) return -1;
    int count = 0;
    for (const auto& figure : *figures) count += PingGuard::to_be_pinged(figure) ? 1 : 0;
    return count;
  }
  FakeClock clock_;
};

TEST_F(PingGuardTest, PrivateTargetsAreForTheOperatorToAllow) {
  const std::vector<Address> targets{
      *Address::parse("127.0.0.1"),       *Address::parse("10.1.2.3"), *Address::parse("224.0.0.1"),
      *Address::parse("255.255.255.255"), *Address::parse("::1"),      *Address::parse("fe80::1"),
      *Address::parse("ff02::1")};
  PingGuard guard(clock_, {});
  EXPECT_EQ(admitted(guard, targets), 0);
  PingGuardLimits open;
  open.private_targets = true;
  PingGuard generous(clock_, open);
  EXPECT_EQ(admitted(generous, {targets[1]}), 1);
}

TEST_F(PingGuardTest, OneNetworkIsPingedSeldomWhoeverAsks) {
  PingGuard guard(clock_, {});
  int sum = 0;
  for (int i = 0; i < 20; ++i)
    sum += admitted(guard, {user(1, i + 1)}, "key" + std::to_string(i),
                    Address::v4(0xc6336400u + static_cast<std::uint32_t>(i) * 256));
  EXPECT_EQ(sum, 4);
  clock_.advance(Millis(10'000));
  EXPECT_EQ(admitted(guard, {user(1, 100), user(1, 101)}), 1);
}

TEST_F(PingGuardTest, AKeyAndANetworkHaveShares) {
  PingGuard guard(clock_, {});
  std::vector<Address> many;
  for (int i = 0; i < 32; ++i) many.push_back(user(i, 1));
  EXPECT_GE(admitted(guard, many), 0);
  EXPECT_GE(admitted(guard, many), 0);
  EXPECT_EQ(admitted(guard, many), -1) << "64 targets a key";
  EXPECT_GE(admitted(guard, many, "other"), 0);
  // Keys cost nothing: the network that they call from has a share of its own.
  int asked = 0;
  for (int i = 0; i < 100; ++i)
    if (admitted(guard, many, "new" + std::to_string(i)) >= 0) ++asked;
  EXPECT_EQ(asked, 4) << "256 targets for the network, half of which were asked before";
  clock_.advance(Millis(60'000));
  EXPECT_GE(admitted(guard, many, "later"), 0);
}

TEST_F(PingGuardTest, TheWholeHostHasARate) {
  PingGuard guard(clock_, {});
  int sum = 0;
  for (int i = 0; i < 1000; ++i)
    sum += admitted(guard, {user(i, 1)}, "k" + std::to_string(i),
                    Address::v4(0xc6000000u + static_cast<std::uint32_t>(i) * 256));
  EXPECT_EQ(sum, 128);
  clock_.advance(Millis(1'000));
  sum = 0;
  for (int i = 1000; i < 1100; ++i)
    sum += admitted(guard, {user(i, 1)}, "k" + std::to_string(i),
                    Address::v4(0xc6000000u + static_cast<std::uint32_t>(i) * 256));
  EXPECT_EQ(sum, 20);
}

TEST_F(PingGuardTest, WhatIsKnownIsToldAgain) {
  PingGuard guard(clock_, {});
  ASSERT_EQ(admitted(guard, {user(1, 1), user(2, 1)}), 2);
  guard.learn({user(1, 1), 12'000, 3, ""});
  guard.learn({user(2, 1), std::nullopt, 0, ""});
  const auto figures = guard.admit("icon", kCaller, {user(1, 1), user(2, 1)});
  ASSERT_TRUE(figures);
  EXPECT_EQ((*figures)[0].rtt_us, 12'000);
  EXPECT_FALSE((*figures)[1].rtt_us);
  EXPECT_FALSE(PingGuard::to_be_pinged((*figures)[1])) << (*figures)[1].refused;
  clock_.advance(Millis(31'000));
  EXPECT_EQ(admitted(guard, {user(1, 1), user(2, 1)}), 2);
}

TEST_F(PingGuardTest, AFloodOfKeysFillsNoMemory) {
  PingBuckets buckets({4, 6}, 100);
  int taken = 0;
  for (int i = 0; i < 10'000; ++i)
    taken += buckets.take(std::to_string(i), 1, clock_.steady()) ? 1 : 0;
  EXPECT_EQ(taken, 100);
  EXPECT_EQ(buckets.size(), 100u);
  clock_.advance(Millis(60'000));
  EXPECT_TRUE(buckets.take("new", 1, clock_.steady())) << "those that are full again make room";
  EXPECT_EQ(buckets.size(), 1u);
}

}  // namespace
}  // namespace icon::supervisor
