#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "discovery/provider_source.h"

namespace icon::discovery {
namespace {

TEST(OrderSrv, PriorityComesFirst) {
  for (std::uint64_t seed = 1; seed < 50; ++seed) {
    const auto ordered =
        order_srv({{20, 100, 1, "c"}, {10, 0, 1, "a"}, {10, 50, 1, "b"}, {30, 0, 1, "d"}}, seed);
    ASSERT_EQ(ordered.size(), 4u);
    EXPECT_EQ(ordered[2].target, "c");
    EXPECT_EQ(ordered[3].target, "d");
  }
}

TEST(OrderSrv, WeightIsAShare) {
  std::map<std::string, int> first;
  constexpr int kDraws = 20'000;
  for (int seed = 1; seed <= kDraws; ++seed)
    ++first[order_srv({{1, 30, 1, "a"}, {1, 60, 1, "b"}, {1, 10, 1, "c"}},
                      static_cast<std::uint64_t>(seed))[0]
                .target];
  EXPECT_NEAR(first["a"], kDraws * 0.30, kDraws * 0.02);
  EXPECT_NEAR(first["b"], kDraws * 0.60, kDraws * 0.02);
  EXPECT_NEAR(first["c"], kDraws * 0.10, kDraws * 0.02);
}

TEST(OrderSrv, WeightZeroIsRarelyFirstButNeverLost) {
  int zero_first = 0;
  for (std::uint64_t seed = 1; seed <= 5'000; ++seed) {
    const auto ordered = order_srv({{1, 0, 1, "zero"}, {1, 100, 1, "full"}}, seed);
    ASSERT_EQ(ordered.size(), 2u);
    if (ordered[0].target == "zero") ++zero_first;
  }
  EXPECT_GT(zero_first, 0);
  EXPECT_LT(zero_first, 150);
}

TEST(OrderSrv, SameSeedSameOrderWhateverTheInputOrder) {
  std::vector<SrvRecord> records;
  for (std::uint16_t i = 0; i < 16; ++i)
    records.push_back(
        {static_cast<std::uint16_t>(i % 3), static_cast<std::uint16_t>(i * 7), i, "t"});
  const auto expected = order_srv(records, 42);
  std::reverse(records.begin(), records.end());
  EXPECT_EQ(order_srv(records, 42), expected);
  EXPECT_THAT(order_srv(records, 43), testing::UnorderedElementsAreArray(expected));
}

TEST(OrderSrv, ExtremesDoNotOverflow) {
  EXPECT_TRUE(order_srv({}, 1).empty());
  std::vector<SrvRecord> records(16, {65'535, 65'535, 65'535, "t"});
  EXPECT_EQ(order_srv(records, 7).size(), 16u);
}

}  // namespace
}  // namespace icon::discovery
