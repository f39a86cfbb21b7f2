#include "base/address.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <random>

namespace icon {
namespace {

TEST(Address, ReadsAndWrites) {
  for (const char* text : {"0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "::1", "2001:db8::7",
                           "fe80::1", "2001:db8:1:2:3:4:5:6"}) {
    const auto address = Address::parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->to_string(), text);
  }
}

TEST(Address, MappedIPv6IsIPv4) {
  EXPECT_EQ(*Address::parse("::ffff:192.0.2.1"), *Address::parse("192.0.2.1"));
}

TEST(Address, RefusesWhatIsNone) {
  for (const std::string& text :
       {std::string(""), std::string("1.2.3"), std::string("1.2.3.256"), std::string("1.2.3.4 "),
        std::string(" 1.2.3.4"), std::string("01.2.3.4"), std::string("fe80::1%eth0"),
        std::string("[::1]"), std::string("1.2.3.4:80"), std::string("host"), std::string(":::"),
        std::string("1.2.3.4\0", 8), std::string("1.2.3.4\0.evil.test", 18),
        std::string("::1\0", 4), std::string(100, '1')})
    EXPECT_EQ(Address::parse(text).error().code, Code::kInvalid) << text;
}

TEST(Address, ThroughASocketAddress) {
  for (const char* text : {"192.0.2.1", "2001:db8::7"}) {
    const auto address = *Address::parse(text);
    sockaddr_storage storage{};
    const auto length = address.to_sockaddr(80, storage);
    EXPECT_EQ(length, address.is_v4() ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
    EXPECT_EQ(*Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&storage)), address);
  }
  sockaddr_storage storage{};
  storage.ss_family = AF_UNIX;
  EXPECT_FALSE(Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&storage)));
}

TEST(Address, HostOrder) {
  EXPECT_EQ(Address::v4(0xc0000201).to_string(), "192.0.2.1");
  EXPECT_EQ(Address::parse("192.0.2.1")->v4_host_order(), 0xc0000201u);
}

TEST(Address, WhatTheInternetDoesNotRoute) {
  for (const char* text :
       {"0.0.0.0", "10.1.2.3", "100.64.0.1", "100.127.255.255", "127.0.0.1", "169.254.1.1",
        "172.16.0.1", "172.31.255.255", "192.168.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "::", "::1", "fc00::1", "fdff::1", "fe80::1", "fec0::1", "ff02::1"})
    EXPECT_TRUE(Address::parse(text)->is_non_public()) << text;
  for (const char* text :
       {"1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255",
        "172.32.0.0", "192.167.255.255", "223.255.255.255", "2001:db8::1", "2a00::1", "fe00::1"})
    EXPECT_FALSE(Address::parse(text)->is_non_public()) << text;
}

TEST(Prefix, ClearsHostBits) {
  EXPECT_EQ(Prefix::parse("192.0.2.77/24")->to_string(), "192.0.2.0/24");
  EXPECT_EQ(Prefix::parse("192.0.2.77/31")->to_string(), "192.0.2.76/31");
  EXPECT_EQ(Prefix::parse("192.0.2.77/0")->to_string(), "0.0.0.0/0");
  EXPECT_EQ(Prefix::parse("192.0.2.77")->to_string(), "192.0.2.77/32");
  EXPECT_EQ(Prefix::parse("2001:db8:1:2::3/48")->to_string(), "2001:db8:1::/48");
  EXPECT_EQ(Prefix::parse("2001:db8::1")->to_string(), "2001:db8::1/128");
}

TEST(Prefix, RefusesWhatIsNone) {
  for (const char* text :
       {"", "/24", "192.0.2.0/", "192.0.2.0/33", "192.0.2.0/-1", "192.0.2.0/-0", "192.0.2.0/+8",
        "192.0.2.0/ 8", "192.0.2.0/8 ", "192.0.2.0/08", "192.0.2.0/8/8", "::/129", "192.0.2/24"})
    EXPECT_EQ(Prefix::parse(text).error().code, Code::kInvalid) << text;
}

TEST(Prefix, Contains) {
  const auto prefix = *Prefix::parse("192.0.2.0/25");
  EXPECT_TRUE(prefix.contains(*Address::parse("192.0.2.127")));
  EXPECT_FALSE(prefix.contains(*Address::parse("192.0.2.128")));
  EXPECT_FALSE(prefix.contains(*Address::parse("::")));
  EXPECT_TRUE(Prefix::parse("::/0")->contains(*Address::parse("2001:db8::1")));
  EXPECT_FALSE(Prefix::parse("::/0")->contains(*Address::parse("192.0.2.1")));
}

TEST(Prefix, OfUser) {
  EXPECT_EQ(Prefix::of_user(*Address::parse("192.0.2.77")).to_string(), "192.0.2.0/24");
  EXPECT_EQ(Prefix::of_user(*Address::parse("2001:db8:1:2::3")).to_string(), "2001:db8:1::/48");
}

TEST(Prefix, AnyLengthHoldsItsOwnAddresses) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int i = 0; i < 2000; ++i) {
    const auto address = Address::v4(static_cast<std::uint32_t>(random()));
    const auto prefix = Prefix::of(address, static_cast<int>(random() % 33));
    ASSERT_TRUE(prefix.contains(address));
    ASSERT_EQ(*Prefix::parse(prefix.to_string()), prefix);
  }
}

TEST(Endpoint, ReadsAndWrites) {
  for (const char* text : {"192.0.2.1:80", "[2001:db8::1]:65535", "0.0.0.0:0", "[::]:1"}) {
    const auto endpoint = Endpoint::parse(text);
    ASSERT_TRUE(endpoint) << text;
    EXPECT_EQ(endpoint->to_string(), text);
  }
}

TEST(Endpoint, RefusesWhatIsNone) {
  for (const std::string& text :
       {std::string(""), std::string(":80"), std::string("192.0.2.1"), std::string("192.0.2.1:"),
        std::string("192.0.2.1:65536"), std::string("192.0.2.1:-1"), std::string("192.0.2.1:080"),
        std::string("192.0.2.1:8 0"), std::string("192.0.2.1: 80"), std::string("host:80"),
        std::string("[192.0.2.1]:80"), std::string("2001:db8::1:80"), std::string("[::1"),
        std::string("::1]:80"), std::string("[::1]80"), std::string("[]:80"),
        std::string("192.0.2.1\0:80", 13)})
    EXPECT_EQ(Endpoint::parse(text).error().code, Code::kInvalid) << text;
}

}  // namespace
}  // namespace icon
