#include "supervisor/tunnel/wg/rate_limiter.h"

#include "tests/unit/supervisor_tunnel/world.h"

namespace icon::tunnel::wg {
namespace {

using namespace std::chrono_literals;

class RateLimiterTest : public testing::Test {
 protected:
  int count_allowed(const Address& source, int attempts) {
    int allowed = 0;
    for (int i = 0; i < attempts; ++i) allowed += limiter.allow(source, clock.steady()) ? 1 : 0;
    return allowed;
  }

  FakeClock clock;
  RateLimiter limiter;
};

TEST_F(RateLimiterTest, ABurstThenTheRate) {
  const Address source = address("192.0.2.7");
  EXPECT_EQ(count_allowed(source, 100), RateLimiter::kBurst);
  clock.advance(50ms);
  EXPECT_EQ(count_allowed(source, 100), 1);
  clock.advance(49ms);
  EXPECT_EQ(count_allowed(source, 100), 0);
  int allowed = 0;
  for (int i = 0; i < 1000; ++i) {
    clock.advance(10ms);
    allowed += count_allowed(source, 3);
  }
  EXPECT_NEAR(allowed, 10 * RateLimiter::kPerSecond, 1);
}

TEST_F(RateLimiterTest, SourcesDoNotDisturbEachOther) {
  EXPECT_EQ(count_allowed(address("192.0.2.7"), 100), RateLimiter::kBurst);
  EXPECT_EQ(count_allowed(address("192.0.2.8"), 100), RateLimiter::kBurst);
}

TEST_F(RateLimiterTest, AnIpv6SiteIsOneSource) {
  EXPECT_EQ(count_allowed(address("2001:db8::1"), 100), RateLimiter::kBurst);
  EXPECT_EQ(count_allowed(address("2001:db8::2:3:4:5"), 100), 0);
  EXPECT_EQ(count_allowed(address("2001:db8:0:1::1"), 100), RateLimiter::kBurst);
}

TEST_F(RateLimiterTest, MemoryIsBounded) {
  for (std::uint32_t i = 0; i < 100'000; ++i) limiter.allow(Address::v4(i), clock.steady());
  EXPECT_EQ(limiter.sources(), RateLimiter::kSourcesMax);
  EXPECT_FALSE(limiter.allow(address("203.0.113.1"), clock.steady()));
  clock.advance(1s);
  EXPECT_TRUE(limiter.allow(address("203.0.113.1"), clock.steady()));
  EXPECT_EQ(limiter.sources(), 1U);
}

}  // namespace
}  // namespace icon::tunnel::wg
