#include "cli/text.h"

#include <gtest/gtest.h>

namespace icon::cli {
namespace {

TEST(Text, TakesTheTeethOutOfStrangersStrings) {
  EXPECT_EQ(printable("a\033[31mb\r\nc\x7f"), "a?[31mb??c?");
  EXPECT_EQ(printable("a\xc2\x9b"
                      "31m"),
            "a?31m");  // a C1 control sequence introducer
  EXPECT_EQ(printable("Z\xc3\xbcrich"), "Z\xc3\xbcrich");
  EXPECT_EQ(printable("abcdef", 3), "abc...");
}

TEST(Text, SaysTimesWithTheUnitThatFits) {
  EXPECT_EQ(human_us(0), "0 us");
  EXPECT_EQ(human_us(999), "999 us");
  EXPECT_EQ(human_us(1'234), "1.23 ms");
  EXPECT_EQ(human_us(12'345), "12.3 ms");
  EXPECT_EQ(human_us(123'456), "123 ms");
  EXPECT_EQ(human_us(1'234'567), "1.23 s");
  EXPECT_EQ(human_us(-1'500), "-1.50 ms");
}

TEST(Text, SaysSizes) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(64'000'000), "64.0 MB");
  EXPECT_EQ(human_bytes(999'999), "1.00 MB");
  EXPECT_EQ(human_bits(100'000'000), "100 Mbit/s");
  EXPECT_EQ(human_bits(1'500'000'000), "1.5 Gbit/s");
  EXPECT_EQ(human_credits(1'250'000), "1.25");
}

TEST(Text, SaysWhen) {
  EXPECT_EQ(human_time(0, 1'000), "-");
  EXPECT_EQ(human_time(1'000, 6'000), "5 s ago");
  EXPECT_EQ(human_time(7'200'000, 0), "in 2 h");
  EXPECT_EQ(human_duration(300'000), "5 min");
  EXPECT_EQ(human_duration(400LL * 86'400'000), "400 d");
}

TEST(Text, ReadsWhatIsThere) {
  const json::Object object{{"a", "x\ny"}, {"n", 5}, {"empty", ""}, {"o", json::Object{{"k", 1}}}};
  EXPECT_EQ(text_of(object, "a"), "x?y");
  EXPECT_EQ(text_of(object, "n"), "-");
  EXPECT_EQ(text_of(object, "empty"), "-");
  EXPECT_EQ(text_of(object, "absent"), "-");
  EXPECT_EQ(number_of(object, "n"), 5);
  EXPECT_EQ(number_of(object, "a"), std::nullopt);
  EXPECT_EQ(number_of(object_of(object, "o"), "k"), 1);
  EXPECT_TRUE(object_of(object, "n").empty());
  EXPECT_TRUE(array_of(object, "n").empty());
}

}  // namespace
}  // namespace icon::cli
