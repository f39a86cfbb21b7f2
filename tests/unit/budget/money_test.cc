#include "budget/money.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace icon::budget {
namespace {

constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
constexpr auto kMin = std::numeric_limits<std::int64_t>::min();

TEST(Money, SumsThatFit) {
  EXPECT_EQ(*add(1, 2), 3);
  EXPECT_EQ(*subtract(1, 2), -1);
  EXPECT_EQ(*multiply(-3, 4), -12);
  EXPECT_EQ(*add(kMax, 0), kMax);
  EXPECT_EQ(*subtract(kMin, 0), kMin);
}

TEST(Money, SumsThatDoNotFitAreErrors) {
  EXPECT_EQ(add(kMax, 1).error().code, Code::kLimit);
  EXPECT_EQ(add(kMin, -1).error().code, Code::kLimit);
  EXPECT_EQ(subtract(kMin, 1).error().code, Code::kLimit);
  EXPECT_EQ(subtract(0, kMin).error().code, Code::kLimit);
  EXPECT_EQ(multiply(kMax, 2).error().code, Code::kLimit);
  EXPECT_EQ(multiply(kMin, -1).error().code, Code::kLimit);
}

TEST(Money, ScaleIsExactInBetweenAndRoundsDown) {
  EXPECT_EQ(*scale(kMax, kMax, kMax), kMax);
  EXPECT_EQ(*scale(10, 1, 3), 3);
  EXPECT_EQ(*scale(-10, 1, 3), -4);
  EXPECT_EQ(*scale(10, -1, 3), -4);
  EXPECT_EQ(*scale(-9, 1, 3), -3);
  EXPECT_EQ(scale(kMax, 2, 1).error().code, Code::kLimit);
  EXPECT_EQ(scale(kMin, 2, 1).error().code, Code::kLimit);
  EXPECT_EQ(scale(1, 1, 0).error().code, Code::kInvalid);
  EXPECT_EQ(scale(1, 1, -1).error().code, Code::kInvalid);
}

TEST(Money, ReadsCredits) {
  EXPECT_EQ(*parse_credits("1.25"), 1'250'000);
  EXPECT_EQ(*parse_credits("0"), 0);
  EXPECT_EQ(*parse_credits("0.000001"), 1);
  EXPECT_EQ(*parse_credits("5.0"), 5'000'000);
  EXPECT_EQ(*parse_credits("1000000000"), kMicroCreditsMax);
}

TEST(Money, RefusesWhatIsNoAmount) {
  for (const char* text :
       {"", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "1.2.3", " 1", "1 ", "0x1", "nan",
        "0.0000001", "1000000000.000001", "1000000001", "99999999999999999999999999"})
    EXPECT_EQ(parse_credits(text).error().code, Code::kInvalid) << text;
}

TEST(Money, WritesTheShortestText) {
  EXPECT_EQ(format_credits(1'250'000), "1.25");
  EXPECT_EQ(format_credits(3'000'000), "3");
  EXPECT_EQ(format_credits(400), "0.0004");
  EXPECT_EQ(format_credits(0), "0");
  EXPECT_EQ(format_credits(-1), "-0.000001");
  EXPECT_EQ(format_credits(kMin), "-9223372036854.775808");
}

TEST(Money, WhatIsWrittenIsReadBack) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int i = 0; i < 2000; ++i) {
    const auto amount = static_cast<MicroCredits>(random() % kMicroCreditsMax) >> (random() % 50);
    ASSERT_EQ(*parse_credits(format_credits(amount)), amount);
  }
}

}  // namespace
}  // namespace icon::budget
