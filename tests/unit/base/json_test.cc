#include "base/json.h"

#include <gtest/gtest.h>

#include <limits>

namespace icon::json {
namespace {

constexpr std::size_t kMax = 1 << 16;

std::string canonical_of(std::string_view text) {
  const auto value = parse(text, kMax);
  if (!value) return "not JSON";
  const auto written = canonical(*value);
  return written ? *written : std::string(to_string(written.error().code));
}

TEST(Json, CanonicalIsOneTextPerValue) {
  EXPECT_EQ(canonical_of(R"( { "b" : [ 1 , 2 ] , "a" : { } } )"), R"({"a":{},"b":[1,2]})");
  EXPECT_EQ(canonical_of(R"({"b":1,"a":2,"B":3,"aa":4,"":5})"),
            R"({"":5,"B":3,"a":2,"aa":4,"b":1})");
  EXPECT_EQ(canonical_of(R"(["\u0041\u00e9\/\n\u001f\"\\"])"), "[\"A\u00e9/\\n\\u001f\\\"\\\\\"]");
  EXPECT_EQ(canonical_of(R"([true,false,null,[],{},"",[[]],"{","["])"),
            R"([true,false,null,[],{},"",[[]],"{","["])");
  EXPECT_EQ(canonical_of(R"({"{":"{","[":["["]})"), R"({"[":["["],"{":"{"})");
  EXPECT_EQ(canonical_of("9223372036854775807"), "9223372036854775807");
  EXPECT_EQ(canonical_of("18446744073709551615"), "18446744073709551615");
  EXPECT_EQ(canonical_of("-9223372036854775808"), "-9223372036854775808");
}

TEST(Json, CanonicalHoldsIntegersOnly) {
  for (const char* text : {"1.5", "1.0", "1e2", "-0.0", "[1,2.5]", R"({"a":{"b":1.5}})",
                           "18446744073709551616", "1e400"}) {
    const auto written = canonical_of(text);
    EXPECT_TRUE(written == "invalid" || written == "not JSON") << text << " -> " << written;
  }
  // Minus zero is zero or it is refused: never a second text of one value.
  const auto minus_zero = canonical_of("-0");
  EXPECT_TRUE(minus_zero == "0" || minus_zero == "invalid") << minus_zero;
}

TEST(Json, TheLastOfTwoEqualKeysCounts) {
  EXPECT_EQ(canonical_of(R"({"a":1,"a":2})"), R"({"a":2})");
  EXPECT_EQ(canonical_of(R"({"a":1,"\u0061":2})"), R"({"a":2})");
}

TEST(Json, RefusesWhatIsNone) {
  for (const std::string& text :
       {std::string(""), std::string("{"), std::string("{}x"), std::string("{'a':1}"),
        std::string("[1,]"), std::string("[01]"), std::string("nul"), std::string("\"\x01\""),
        std::string("\"\xff\""), std::string("\"\xc0\x80\""), std::string("\"\xed\xa0\x80\""),
        std::string("{}\0", 3), std::string("NaN"), std::string("// x\n1")})
    EXPECT_EQ(parse(text, kMax).error().code, Code::kInvalid) << text;
}

TEST(Json, Limits) {
  EXPECT_EQ(parse("[1]", 2).error().code, Code::kLimit);
  EXPECT_TRUE(parse(std::string(16, '[') + std::string(16, ']'), kMax));
  EXPECT_FALSE(parse(std::string(17, '[') + std::string(17, ']'), kMax));
  EXPECT_FALSE(parse(std::string(kMax, '['), kMax));
  EXPECT_EQ(parse_object("[1]", kMax).error().code, Code::kInvalid);
}

TEST(Json, TypedFields) {
  const auto object = *parse_object(
      R"({"s":"text","i":5,"n":-5,"b":true,"o":{},"a":[1,2],"d":1.5,"u":18446744073709551615,
          "z":null})",
      kMax);
  EXPECT_EQ(*get_string(object, "s"), "text");
  EXPECT_EQ(*get_int(object, "i", 0, 5), 5);
  EXPECT_EQ(*get_int(object, "n", -5, 0), -5);
  EXPECT_EQ(*get_bool(object, "b"), true);
  EXPECT_TRUE((*get_object(object, "o"))->empty());
  EXPECT_EQ((*get_array(object, "a", 2))->size(), 2u);
  EXPECT_FALSE(get_string(object, "s", 3));
  EXPECT_FALSE(get_int(object, "i", 6, 9));
  EXPECT_FALSE(get_int(object, "i", 0, 4));
  EXPECT_FALSE(get_array(object, "a", 1));
  constexpr auto kLow = std::numeric_limits<std::int64_t>::min();
  constexpr auto kHigh = std::numeric_limits<std::int64_t>::max();
  for (const char* key : {"s", "b", "o", "a", "d", "u", "z", "absent"}) {
    const auto result = get_int(object, key, kLow, kHigh);
    ASSERT_FALSE(result) << key;
    EXPECT_EQ(result.error().code, Code::kInvalid);
    EXPECT_NE(result.error().message.find(key), std::string::npos);
  }
  EXPECT_FALSE(get_string(object, "i"));
  EXPECT_FALSE(get_bool(object, "i"));
  EXPECT_FALSE(get_object(object, "a"));
  EXPECT_FALSE(get_array(object, "o", 9));
}

TEST(Json, FallbacksAreForAbsentFieldsOnly) {
  const auto object = *parse_object(R"({"s":"x","i":7,"z":null})", kMax);
  EXPECT_EQ(*get_string_or(object, "absent", "f"), "f");
  EXPECT_EQ(*get_string_or(object, "s", "f"), "x");
  EXPECT_FALSE(get_string_or(object, "i", "f"));
  EXPECT_EQ(*get_int_or(object, "absent", 3, 0, 9), 3);
  EXPECT_EQ(*get_int_or(object, "i", 3, 0, 9), 7);
  EXPECT_FALSE(get_int_or(object, "i", 3, 0, 6));
  EXPECT_FALSE(get_int_or(object, "z", 3, 0, 6));
}

TEST(Json, OursMayBeDeeperThanAStrangers) {
  const auto nested = [](std::size_t levels) {
    return std::string(levels, '[') + std::string(levels, ']');
  };
  EXPECT_TRUE(parse(nested(kDepthMax), 100));
  EXPECT_FALSE(parse(nested(kDepthMax + 1), 100));
  EXPECT_TRUE(parse(nested(kOwnDepthMax), 100, kOwnDepthMax));
  EXPECT_FALSE(parse(nested(kOwnDepthMax + 1), 100, kOwnDepthMax));
  EXPECT_EQ(depth(*parse(nested(5), 100)), 5U);
  EXPECT_EQ(depth(*parse(R"({"a":[1,{"b":2}],"c":{}})", 100)), 3U);
  EXPECT_EQ(depth(*parse("1", 100)), 0U);
}

}  // namespace
}  // namespace icon::json
