#include "simulate/matrix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace icon::simulate {
namespace {

using ::testing::HasSubstr;

TEST(Matrix, IsReadByRowAndColumn) {
  const auto matrix = read_matrix("# measured\nrtt_ms, fra, nyc\nfra,0.6,82\n\nnyc,81.5,0.9\r\n");
  ASSERT_TRUE(matrix) << matrix.error().message;
  EXPECT_EQ(matrix->names, (std::vector<std::string>{"fra", "nyc"}));
  EXPECT_EQ(matrix->rtt(0, 1), 82'000);
  EXPECT_EQ(matrix->rtt(1, 0), 81'500);
  EXPECT_EQ(matrix->rtt(0, 0), 600);
}

TEST(Matrix, WhatWasMeasuredOneWayCountsBothWays) {
  const auto matrix = read_matrix("rtt_ms,a,b\na,1,-\nb,7,1");
  ASSERT_TRUE(matrix) << matrix.error().message;
  EXPECT_EQ(matrix->rtt(0, 1), 7'000);
}

TEST(Matrix, MistakesAreNamedWithTheirLine) {
  const auto message = [](std::string_view text) {
    const auto matrix = read_matrix(text);
    return matrix ? std::string("it was read") : matrix.error().message;
  };
  EXPECT_THAT(message(""), HasSubstr("empty"));
  EXPECT_THAT(message("rtt_ms"), HasSubstr("line 1: regions: at least one"));
  EXPECT_THAT(message("rtt_ms,a,a\n"), HasSubstr("line 1: regions: 'a' comes twice"));
  EXPECT_THAT(message("rtt_ms,a/b\n"), HasSubstr("line 1: a region's name"));
  EXPECT_THAT(message("rtt_ms,a,b\na,1,2\n"), HasSubstr("line 2: 1 rows are missing"));
  EXPECT_THAT(message("rtt_ms,a,b\nb,1,2\n"), HasSubstr("the row of 'a' was expected"));
  EXPECT_THAT(message("rtt_ms,a,b\na,1\n"), HasSubstr("line 2: 2 numbers were expected"));
  EXPECT_THAT(message("rtt_ms,a\na,1,2\n"), HasSubstr("1 numbers were expected"));
  EXPECT_THAT(message("rtt_ms,a\na,1\na,1\n"), HasSubstr("line 3: more rows"));
  EXPECT_THAT(message("rtt_ms,a,b\na,1,-\nb,-,1"), HasSubstr("nothing is known between a and b"));
  for (const auto* cell :
       {"x", "-1", "1e3", "60001", "", "nan", "0x10", "1ms", "1.2.3", "99999999999999999999"})
    EXPECT_THAT(message(std::string("rtt_ms,a\na,") + cell), HasSubstr("column 'a': not a round"))
        << cell;
}

TEST(Matrix, HasLimits) {
  EXPECT_EQ(read_matrix(std::string(kMatrixBytesMax + 1, '\n')).error().code, Code::kLimit);
  std::string wide = "rtt_ms";
  for (std::size_t i = 0; i <= kRegionsMax; ++i) wide += ",r" + std::to_string(i);
  EXPECT_THAT(read_matrix(wide).error().message, HasSubstr("more than 512"));
  EXPECT_FALSE(read_matrix("rtt_ms," + std::string(kRegionNameBytesMax + 1, 'a')));
  EXPECT_FALSE(read_matrix(std::string("rtt_ms,a\0b\n", 11)));
}

TEST(Matrix, SomeOfItsRegionsInAnotherOrder) {
  const auto matrix = read_matrix("rtt_ms,a,b,c\na,1,2,3\nb,2,1,4\nc,3,4,1");
  const auto chosen = choose_regions(*matrix, {"c", "a"});
  ASSERT_TRUE(chosen);
  EXPECT_EQ(chosen->rtt_us, (std::vector<std::int64_t>{1'000, 3'000, 3'000, 1'000}));
  EXPECT_EQ(choose_regions(*matrix, {"d"}).error().code, Code::kNotFound);
  EXPECT_FALSE(choose_regions(*matrix, {"a", "a"}));
}

TEST(Matrix, ASyntheticOneIsAsFarOneWayAsTheOther) {
  const auto matrix = synthetic_matrix({"a", "b", "c"}, 7);
  ASSERT_TRUE(matrix);
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 3; ++j) {
      EXPECT_EQ(matrix->rtt(i, j), matrix->rtt(j, i));
      EXPECT_LE(matrix->rtt(i, i), matrix->rtt(i, j));
      EXPECT_LT(matrix->rtt(i, j), 400'000);
    }
  EXPECT_EQ(synthetic_matrix({"a", "b", "c"}, 7)->rtt_us, matrix->rtt_us);
  EXPECT_NE(synthetic_matrix({"a", "b", "c"}, 8)->rtt_us, matrix->rtt_us);
}

}  // namespace
}  // namespace icon::simulate
