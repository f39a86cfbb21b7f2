#include "stub/client_limits.h"

#include <gtest/gtest.h>

namespace icon::stub {
namespace {

Address v4(std::uint32_t value) { return Address::v4(value); }

TEST(ClientLimits, BoundsConnectionsPerClientAndInAll) {
  FakeClock clock;
  ClientLimits limits({.connections_max = 3, .connections_per_client_max = 2});
  EXPECT_TRUE(limits.admit(v4(1), clock.steady()));
  EXPECT_TRUE(limits.admit(v4(1), clock.steady()));
  EXPECT_FALSE(limits.admit(v4(1), clock.steady()));
  EXPECT_TRUE(limits.admit(v4(2), clock.steady()));
  EXPECT_FALSE(limits.admit(v4(3), clock.steady()));
  limits.release(v4(1));
  EXPECT_TRUE(limits.admit(v4(3), clock.steady()));
}

TEST(ClientLimits, TakesAnIpv6NetworkForOneClient) {
  FakeClock clock;
  ClientLimits limits({.connections_per_client_max = 1});
  EXPECT_TRUE(limits.admit(*Address::parse("2001:db8::1"), clock.steady()));
  EXPECT_FALSE(limits.admit(*Address::parse("2001:db8::2"), clock.steady()));
  EXPECT_TRUE(limits.admit(*Address::parse("2001:db8:0:1::1"), clock.steady()));
}

TEST(ClientLimits, RefillsRequestsWithTime) {
  FakeClock clock;
  ClientLimits limits({.requests_per_second = 10, .requests_burst = 2});
  ASSERT_TRUE(limits.admit(v4(1), clock.steady()));
  EXPECT_TRUE(limits.take_request(v4(1), clock.steady()));
  EXPECT_TRUE(limits.take_request(v4(1), clock.steady()));
  EXPECT_FALSE(limits.take_request(v4(1), clock.steady()));
  clock.advance(Millis(100));
  EXPECT_TRUE(limits.take_request(v4(1), clock.steady()));
  EXPECT_FALSE(limits.take_request(v4(1), clock.steady()));
}

TEST(ClientLimits, ReconnectingDoesNotRefill) {
  FakeClock clock;
  ClientLimits limits({.requests_burst = 1});
  ASSERT_TRUE(limits.admit(v4(1), clock.steady()));
  EXPECT_TRUE(limits.take_request(v4(1), clock.steady()));
  limits.release(v4(1));
  ASSERT_TRUE(limits.admit(v4(1), clock.steady()));
  EXPECT_FALSE(limits.take_request(v4(1), clock.steady()));
}

TEST(ClientLimits, RemembersABoundedNumberOfClients) {
  FakeClock clock;
  ClientLimits limits({.clients_remembered_max = 10});
  for (std::uint32_t i = 0; i < 1'000; ++i) {
    ASSERT_TRUE(limits.admit(v4(i), clock.steady()));
    ASSERT_TRUE(limits.take_request(v4(i), clock.steady()));
    limits.release(v4(i));
    EXPECT_LE(limits.clients_remembered(), 10u);
  }
}

TEST(ClientLimits, ForgetsTheBlamelessFirst) {
  FakeClock clock;
  ClientLimits limits({.requests_per_second = 1, .requests_burst = 1, .clients_remembered_max = 2});
  ASSERT_TRUE(limits.admit(v4(1), clock.steady()));
  ASSERT_TRUE(limits.take_request(v4(1), clock.steady()));
  limits.release(v4(1));
  ASSERT_TRUE(limits.admit(v4(2), clock.steady()));
  limits.release(v4(2));
  ASSERT_TRUE(limits.admit(v4(3), clock.steady()));  // forgets 2, who owes nothing
  ASSERT_TRUE(limits.admit(v4(1), clock.steady()));
  EXPECT_FALSE(limits.take_request(v4(1), clock.steady()));
}

}  // namespace
}  // namespace icon::stub
