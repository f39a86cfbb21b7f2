#include "agent/latency_table.h"

#include <gtest/gtest.h>

namespace icon::agent {
namespace {

TcpSample sample(const char* user, std::uint32_t min_rtt_us, Millis idle = Millis(10)) {
  TcpSample result;
  result.user = *Address::parse(user);
  result.local_port = 80;
  result.rtt_us = min_rtt_us * 3;
  result.min_rtt_us = min_rtt_us;
  result.idle = idle;
  return result;
}

TcpSample ended(const char* user, std::uint32_t min_rtt_us) {
  TcpSample result = sample(user, min_rtt_us);
  result.ended = true;
  return result;
}

class LatencyTableTest : public ::testing::Test {
 protected:
  void dump(std::initializer_list<TcpSample> samples) {
    table_.begin_dump();
    for (const auto& one : samples) table_.add(one);
    table_.end_dump();
  }
  FakeClock clock_;
  LatencyTable table_{clock_, {.prefixes_max = 4, .samples_per_prefix_max = 8}};
};

TEST_F(LatencyTableTest, GroupsByPrefixMostWeightFirst) {
  dump({sample("192.0.2.1", 5'000), sample("198.51.100.1", 1'000), sample("198.51.100.9", 3'000),
        sample("2001:db8:1:2::1", 9'000), sample("2001:db8:1:ffff::1", 9'000),
        sample("2001:db8:1::7", 9'000)});
  const auto prefixes = table_.snapshot();
  ASSERT_EQ(prefixes.size(), 3U);
  EXPECT_EQ(prefixes[0].prefix.to_string(), "2001:db8:1::/48");
  EXPECT_EQ(prefixes[0].weight, 3);
  EXPECT_EQ(prefixes[1].prefix.to_string(), "198.51.100.0/24");
  EXPECT_EQ(prefixes[1].rtt_us_p50, 1'000U);
  EXPECT_EQ(prefixes[1].rtt_us_p95, 3'000U);
  EXPECT_EQ(prefixes[2].representative.to_string(), "192.0.2.1");
}

TEST_F(LatencyTableTest, DelayedAcknowledgementsAreNoDistance) {
  dump({sample("192.0.2.1", 5'000)});
  EXPECT_EQ(table_.snapshot()[0].rtt_us_p50, 5'000U);  // not the smoothed 15'000
}

// A restore winds the kernel's clocks of all connections back; only who speaks gets an RTT again.
TEST_F(LatencyTableTest, ARestoredSilentConnectionIsNotBack) {
  auto silent = sample("192.0.2.1", 0, Millis(900));
  auto upload = sample("198.51.100.1", 0, Millis(20));  // its user never asks, and is there
  dump({silent, upload, sample("203.0.113.1", 5'000, Millis(1'500))});
  for (const auto& prefix : table_.snapshot()) EXPECT_EQ(prefix.weight, 1);
  silent.idle = Millis(1'100);
  dump({silent, upload, sample("203.0.113.1", 5'000, Millis(2'500))});
  const auto prefixes = table_.snapshot();
  ASSERT_EQ(prefixes.size(), 3U);
  EXPECT_EQ(prefixes[2].prefix.to_string(), "192.0.2.0/24");
  EXPECT_EQ(prefixes[2].weight, 0);
  EXPECT_EQ(prefixes[2].connections, 1);
  EXPECT_EQ(prefixes[1].weight, 1);
}

TEST_F(LatencyTableTest, SmoothedRttServesWhereThereIsNoMinimum) {
  TcpSample without = sample("192.0.2.1", 0);
  without.rtt_us = 7'000;
  dump({without});
  EXPECT_EQ(table_.snapshot()[0].rtt_us_p50, 7'000U);
}

TEST_F(LatencyTableTest, IdleConnectionsAreCountedAndNotBelieved) {
  dump({sample("192.0.2.1", 5'000, Millis(6'000)), sample("192.0.2.2", 0)});
  const auto prefixes = table_.snapshot();
  ASSERT_EQ(prefixes.size(), 1U);
  EXPECT_EQ(prefixes[0].connections, 2);
  EXPECT_EQ(prefixes[0].weight, 1);
  EXPECT_EQ(prefixes[0].samples, 0);
  EXPECT_EQ(prefixes[0].rtt_us_p50, 0U);
}

TEST_F(LatencyTableTest, SamplesLeaveWithTheWindow) {
  dump({sample("192.0.2.1", 5'000)});
  clock_.advance(Millis(59'000));
  dump({sample("192.0.2.1", 1'000)});
  EXPECT_EQ(table_.rtt_us_at(Prefix::of_user(*Address::parse("192.0.2.1")), 100), 5'000U);
  clock_.advance(Millis(2'000));
  EXPECT_EQ(table_.rtt_us_at(Prefix::of_user(*Address::parse("192.0.2.1")), 100), 1'000U);
}

TEST_F(LatencyTableTest, OnlyTheNewestSamplesAreKept) {
  for (std::uint32_t i = 1; i <= 100; ++i) dump({sample("192.0.2.1", i * 100)});
  const auto prefixes = table_.snapshot();
  EXPECT_EQ(prefixes[0].samples, 8);
  EXPECT_EQ(prefixes[0].rtt_us_p95, 10'000U);
  EXPECT_EQ(prefixes[0].rtt_us_p50, 9'600U);
}

TEST_F(LatencyTableTest, ShortConnectionsCountForOneWindow) {
  dump({});
  for (int i = 0; i < 10; ++i) table_.add(ended("192.0.2.1", 2'000));
  EXPECT_EQ(table_.snapshot()[0].weight, 10);
  clock_.advance(Millis(60'000));
  table_.add(ended("192.0.2.1", 2'000));
  clock_.advance(Millis(30'000));
  // Half of the previous slot is still within the window.
  EXPECT_EQ(table_.snapshot()[0].weight, 6);
  clock_.advance(Millis(120'000));
  dump({});
  EXPECT_TRUE(table_.snapshot().empty());
  EXPECT_EQ(table_.prefix_count(), 0U);
}

TEST_F(LatencyTableTest, MemoryIsBoundedByTheOldestPrefix) {
  for (int i = 0; i < 20; ++i) {
    const std::string user = "10.0." + std::to_string(i) + ".1";
    dump({sample(user.c_str(), 1'000)});
    clock_.advance(Millis(10));
  }
  EXPECT_EQ(table_.prefix_count(), 4U);
  EXPECT_EQ(table_.rtt_us_at(*Prefix::parse("10.0.15.0/24"), 50), 0U);
  EXPECT_EQ(table_.rtt_us_at(*Prefix::parse("10.0.16.0/24"), 50), 1'000U);
}

// More users at once than fit: who is in stays, with what is known of him.
TEST_F(LatencyTableTest, OpenConnectionsAreNotEvicted) {
  for (int round = 0; round < 3; ++round) {
    table_.begin_dump();
    for (int i = 0; i < 6; ++i)
      table_.add(sample(("10.0." + std::to_string(i) + ".1").c_str(), 1'000));
    table_.end_dump();
    clock_.advance(Millis(2'000));
  }
  const auto users = table_.snapshot();
  ASSERT_EQ(users.size(), 4U);
  for (const auto& user : users) {
    EXPECT_EQ(user.connections, 1);
    EXPECT_EQ(user.samples, 3) << user.prefix.to_string();
  }
  // They leave, and there is room.
  dump({sample("10.0.5.1", 1'000), sample("10.0.4.1", 1'000)});
  dump({sample("10.0.5.1", 1'000), sample("10.0.4.1", 1'000)});
  EXPECT_EQ(table_.prefix_count(), 4U);
  EXPECT_EQ(table_.rtt_us_at(*Prefix::parse("10.0.5.0/24"), 50), 1'000U);
}

// Memory is shared: with many prefixes each keeps fewer samples.
TEST_F(LatencyTableTest, ManyPrefixesShareTheSamples) {
  LatencyTable table(clock_, {.prefixes_max = 64, .samples_shared_max = 320});
  for (int round = 0; round < 40; ++round) {
    table.begin_dump();
    for (int i = 0; i < 64; ++i)
      table.add(sample(("10.0." + std::to_string(i) + ".1").c_str(), 1'000));
    table.end_dump();
  }
  const auto users = table.snapshot();
  ASSERT_EQ(users.size(), 64U);
  EXPECT_GE(users.back().samples, 4);
  EXPECT_LE(users.back().samples, 5);
}

TEST_F(LatencyTableTest, ResetForgetsThePlace) {
  EXPECT_EQ(table_.age(), Millis(0));
  dump({sample("192.0.2.1", 5'000)});
  clock_.advance(Millis(5'000));
  EXPECT_EQ(table_.age(), Millis(5'000));
  table_.reset();
  EXPECT_TRUE(table_.snapshot().empty());
  EXPECT_EQ(table_.age(), Millis(0));
}

TEST_F(LatencyTableTest, ClockThatJumpedBackDoesNoHarm) {
  dump({sample("192.0.2.1", 5'000)});
  clock_.advance(Millis(-500'000));
  dump({sample("192.0.2.1", 1'000), ended("192.0.2.3", 1'000)});
  EXPECT_FALSE(table_.snapshot().empty());
}

}  // namespace
}  // namespace icon::agent
