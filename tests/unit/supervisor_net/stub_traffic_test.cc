#include "supervisor/net/stub_traffic.h"

#include <gtest/gtest.h>

namespace icon::net {
namespace {

TEST(StubTraffic, OfTenThousandTheBusiestAreNamed) {
  StubTraffics traffic;
  for (std::uint64_t i = 0; i < 10'000; ++i)
    traffic.stubs["icon-" + std::to_string(i)] = {1, i * 7 % 10'000, 1, i * 7 % 10'000, 1};
  const auto busiest = busiest_stubs(traffic, 100);
  ASSERT_EQ(busiest.size(), 100u);
  EXPECT_EQ(busiest.front().second.bytes_to, 9'999u);
  EXPECT_EQ(busiest.back().second.bytes_to, 9'900u);
}

TEST(StubTraffic, FewAreAllNamedAndEqualsKeepTheirOrder) {
  StubTraffics traffic;
  traffic.stubs["b"] = {0, 5, 0, 5, 0};
  traffic.stubs["c"] = {0, 0, 0, 11, 0};
  traffic.stubs["a"] = {0, 10, 0, 0, 0};
  std::string order;
  for (const auto& [icon, carried] : busiest_stubs(traffic, 100)) order += icon;
  EXPECT_EQ(order, "cab");
  EXPECT_TRUE(busiest_stubs({}, 100).empty());
}

}  // namespace
}  // namespace icon::net
