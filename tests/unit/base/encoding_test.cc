#include "base/encoding.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace icon {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

// RFC 4648 section 10, in lower case and without padding.
TEST(Encoding, Base32Vectors) {
  const std::pair<const char*, const char*> kVectors[] = {{"", ""},
                                                          {"f", "my"},
                                                          {"fo", "mzxq"},
                                                          {"foo", "mzxw6"},
                                                          {"foob", "mzxw6yq"},
                                                          {"fooba", "mzxw6ytb"},
                                                          {"foobar", "mzxw6ytboi"}};
  for (const auto& [plain, encoded] : kVectors) {
    EXPECT_EQ(base32_encode(bytes_of(plain)), encoded);
    EXPECT_EQ(*base32_decode(encoded, 6), bytes_of(plain));
  }
}

TEST(Encoding, Base64Vectors) {
  EXPECT_EQ(base64_encode(bytes_of("fo")), "Zm8");
  EXPECT_EQ(base64_encode(Bytes{0xfb, 0xff}), "-_8");
  EXPECT_EQ(base64_encode_standard(Bytes{0xfb, 0xff}), "+/8=");
  EXPECT_EQ(*base64_decode("-_8", 2), (Bytes{0xfb, 0xff}));
}

TEST(Encoding, HexVectors) {
  EXPECT_EQ(hex_encode(Bytes{0x00, 0xab, 0xff}), "00abff");
  EXPECT_EQ(*hex_decode("00abff", 3), (Bytes{0x00, 0xab, 0xff}));
}

// Two spellings of one value would be two names of one key.
TEST(Encoding, OneTextPerValue) {
  for (const char* text : {"MZXW6", "mzxw6===", "mzxw7", "m", "mz x", "mzxw1", "mzxw6y"})
    EXPECT_EQ(base32_decode(text, 100).error().code, Code::kInvalid) << text;
  for (const char* text : {"Zm8=", "Zm9", "Z", "Zm 8", "+/8", "Zm8\n",
                           "9YAA\xc3\xcf"
                           "8"})
    EXPECT_EQ(base64_decode(text, 100).error().code, Code::kInvalid) << text;
  for (const char* text : {"0", "0g", "AB", "aB", "a b", "0x00", "ab\n"})
    EXPECT_EQ(hex_decode(text, 100).error().code, Code::kInvalid) << text;
}

TEST(Encoding, NoMoreThanAskedFor) {
  EXPECT_FALSE(base32_decode("mzxw6ytboi", 5));
  EXPECT_FALSE(base64_decode("Zm9vYmFy", 5));
  EXPECT_FALSE(hex_decode("000000", 2));
  EXPECT_TRUE(hex_decode("", 0)->empty());
  EXPECT_TRUE(base64_decode("", 0)->empty());
  EXPECT_TRUE(base32_decode("", 0)->empty());
}

TEST(Encoding, WhatIsWrittenIsReadBack) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int i = 0; i < 1000; ++i) {
    Bytes bytes(random() % 70);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    ASSERT_EQ(*base32_decode(base32_encode(bytes), bytes.size()), bytes);
    ASSERT_EQ(*base64_decode(base64_encode(bytes), bytes.size()), bytes);
    ASSERT_EQ(*hex_decode(hex_encode(bytes), bytes.size()), bytes);
  }
}

// Any text that decodes is the one encoding of what it decodes to.
TEST(Encoding, RandomTexts) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  constexpr std::string_view kLetters = "abcABC0127-_+/=yzYZ";
  for (int i = 0; i < 20'000; ++i) {
    std::string text(random() % 8, ' ');
    for (auto& c : text) c = kLetters[random() % kLetters.size()];
    if (const auto bytes = base32_decode(text, 100)) {
      ASSERT_EQ(base32_encode(*bytes), text);
    }
    if (const auto bytes = base64_decode(text, 100)) {
      ASSERT_EQ(base64_encode(*bytes), text);
    }
    if (const auto bytes = hex_decode(text, 100)) {
      ASSERT_EQ(hex_encode(*bytes), text);
    }
  }
}

TEST(Encoding, TokensDiffer) {
  std::set<std::string> tokens;
  for (int i = 0; i < 1000; ++i) tokens.insert(random_token(16));
  EXPECT_EQ(tokens.size(), 1000u);
  EXPECT_EQ(tokens.begin()->size(), 22u);
}

}  // namespace
}  // namespace icon
