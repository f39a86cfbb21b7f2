#include "wire/envelope.h"

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <random>

#include "base/encoding.h"

namespace icon::wire {
namespace {

constexpr UtcMillis kNow = 1'700'000'000'000;

std::string text_of(const Envelope& envelope) { return boost::json::serialize(envelope.to_json()); }

TEST(Envelope, SealedTravelsAndVerifies) {
  const auto key = KeyPair::generate();
  const auto sealed = *seal(key, "offer", {{"b", 2}, {"a", {1, "x"}}});
  const auto read = parse_envelope(text_of(sealed));
  ASSERT_TRUE(read);
  EXPECT_TRUE(verify(*read, "offer"));
  EXPECT_EQ(read->digest(), sealed.digest());
  EXPECT_EQ(read->signer, key.public_key());
}

TEST(Envelope, TheOrderOfKeysOnTheWireDoesNotMatter) {
  const auto sealed = *seal(KeyPair::generate(), "offer", {{"a", 1}, {"b", 2}});
  auto other = sealed;
  other.body = {{"b", 2}, {"a", 1}};
  EXPECT_TRUE(verify(other, "offer"));
  EXPECT_EQ(other.digest(), sealed.digest());
}

TEST(Envelope, EveryChangeIsNoticed) {
  const auto key = KeyPair::generate();
  const auto sealed = *seal(key, "offer", {{"price", 5}, {"list", {1, 2}}});
  auto changed = sealed;
  changed.body["price"] = 4;
  EXPECT_EQ(verify(changed, "offer").error().code, Code::kUnauthenticated);
  changed = sealed;
  changed.body["more"] = 1;
  EXPECT_EQ(verify(changed, "offer").error().code, Code::kUnauthenticated);
  changed = sealed;
  changed.body.erase("list");
  EXPECT_EQ(verify(changed, "offer").error().code, Code::kUnauthenticated);
  changed = sealed;
  changed.body["price"] = "5";
  EXPECT_EQ(verify(changed, "offer").error().code, Code::kUnauthenticated);
  changed = sealed;
  changed.signer = KeyPair::generate().public_key();
  EXPECT_EQ(verify(changed, "offer").error().code, Code::kUnauthenticated);
  changed = sealed;
  changed.signature[63] ^= 1;
  EXPECT_EQ(verify(changed, "offer").error().code, Code::kUnauthenticated);
  changed = sealed;
  changed.body["price"] = 5.5;
  EXPECT_EQ(verify(changed, "offer").error().code, Code::kInvalid);
}

TEST(Envelope, ADocumentOfOneTypeIsNoneOfAnother) {
  auto sealed = *seal(KeyPair::generate(), "offer", {{"a", 1}});
  EXPECT_EQ(verify(sealed, "bid").error().code, Code::kInvalid);
  sealed.type = "bid";
  EXPECT_EQ(verify(sealed, "bid").error().code, Code::kUnauthenticated);
}

// Flip each bit of the text: it must not parse, not verify, or mean the same.
TEST(Envelope, FlippedBits) {
  const auto sealed = *seal(KeyPair::generate(), "offer", {{"price", 5}, {"n", "x"}});
  const auto good = text_of(sealed);
  for (std::size_t i = 0; i < good.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      auto bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      const auto read = parse_envelope(bad);
      if (!read || !verify(*read, "offer")) continue;
      ASSERT_EQ(read->digest(), sealed.digest()) << i << ": " << bad;
    }
}

TEST(Envelope, ShapesThatAreNone) {
  const auto good = seal(KeyPair::generate(), "offer", {{"a", 1}})->to_json();
  EXPECT_TRUE(parse_envelope(json::Value(good)));
  for (const char* key : {"type", "body", "signer", "signature"}) {
    auto bad = good;
    bad.erase(key);
    EXPECT_EQ(parse_envelope(json::Value(bad)).error().code, Code::kInvalid) << key;
    for (const json::Value& value :
         {json::Value(nullptr), json::Value(1), json::Value(true), json::Value(json::Array())}) {
      bad[key] = value;
      EXPECT_EQ(parse_envelope(json::Value(bad)).error().code, Code::kInvalid) << key;
    }
  }
  auto bad = good;
  bad["type"] = std::string(33, 'a');
  EXPECT_FALSE(parse_envelope(json::Value(bad)));
  bad = good;
  bad["signature"] = base64_encode(std::vector<std::uint8_t>(63));
  EXPECT_FALSE(parse_envelope(json::Value(bad)));
  bad["signature"] = base64_encode(std::vector<std::uint8_t>(65));
  EXPECT_FALSE(parse_envelope(json::Value(bad)));
  for (const char* text : {"", "null", "[]", "{}", "\"offer\"", "{"})
    EXPECT_FALSE(parse_envelope(std::string_view(text))) << text;
}

TEST(Envelope, Sizes) {
  const auto key = KeyPair::generate();
  const auto large = *seal(key, "offer", {{"a", std::string(kDocumentBytesMax, 'x')}});
  EXPECT_EQ(parse_envelope(text_of(large)).error().code, Code::kLimit);
  const auto fits = *seal(key, "offer", {{"a", std::string(kDocumentBytesMax - 100, 'x')}});
  EXPECT_TRUE(parse_envelope(text_of(fits)));
  EXPECT_EQ(parse_envelope(std::string(2 * kDocumentBytesMax + 1, ' ')).error().code, Code::kLimit);
  EXPECT_FALSE(seal(key, "offer", {{"a", 1.5}}));
}

TEST(Envelope, Times) {
  EXPECT_TRUE(check_times(kNow, kNow + 1, kNow));
  EXPECT_EQ(check_times(kNow, kNow, kNow).error().code, Code::kExpired);
  EXPECT_EQ(check_times(kNow, kNow - 1, kNow).error().code, Code::kExpired);
  const auto skew = kClockSkewMax.count();
  EXPECT_TRUE(check_times(kNow + skew, kNow + skew + 1, kNow));
  EXPECT_EQ(check_times(kNow + skew + 1, kNow + skew + 2, kNow).error().code, Code::kInvalid);
}

}  // namespace
}  // namespace icon::wire
