#include "supervisor/tunnel/handshake.h"

#include <gtest/gtest.h>
#include <sodium.h>

#include "base/encoding.h"
#include "supervisor/tunnel/uapi.h"

namespace icon::tunnel {
namespace {

std::vector<std::uint8_t> from_hex(const std::string& text) { return *hex_decode(text, 4096); }
Key key(const std::string& text) { return *key_from_hex(text); }

std::string sealed(const Key& key, const std::string& plain_hex) {
  const auto plain = from_hex(plain_hex);
  std::vector<std::uint8_t> out(plain.size() + kTagBytes);
  const std::uint8_t nonce[12]{};
  crypto_aead_chacha20poly1305_ietf_encrypt(out.data(), nullptr, plain.data(), plain.size(),
                                            nullptr, 0, nullptr, nonce, key.data());
  return hex_encode(out);
}

// The noise-c test vector for Noise_IK_25519_ChaChaPoly_BLAKE2b: it is the protocol of that name,
// not only one that agrees with itself.
TEST(Handshake, KnownAnswer) {
  const auto initiator_key = TunnelKeyPair::from_private(
      key("e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1"));
  const auto initiator_ephemeral = TunnelKeyPair::from_private(
      key("893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a"));
  const auto responder_key = TunnelKeyPair::from_private(
      key("4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893"));
  const auto responder_ephemeral = TunnelKeyPair::from_private(
      key("bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b"));
  ASSERT_EQ(hex_encode(responder_key.public_key),
            "31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62");
  const std::string prologue = "Prologue123";

  Initiator initiator(initiator_key, responder_key.public_key, initiator_ephemeral, prologue);
  const auto hello = from_hex("4c756477696720766f6e204d69736573");
  std::vector<std::uint8_t> first(hello.size() + 96);
  ASSERT_TRUE(initiator.write_initiation(hello, first));
  EXPECT_EQ(hex_encode(first),
            "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
            "ba83a447b38c83e327ad936929812f624884847b7831e95e197b2f797088efdd"
            "232fe541af156ec6d0657602902a8c3e"
            "e64e470f4b6fcd9298ce0b56fe20f86e60d9d933ec6e103ffb09e6001d6abb64");

  Responder responder(responder_key, responder_ephemeral, prologue);
  std::vector<std::uint8_t> heard(hello.size());
  ASSERT_TRUE(responder.read_initiation(first, heard));
  EXPECT_EQ(heard, hello);
  EXPECT_EQ(responder.peer(), initiator_key.public_key);
  const auto reply = from_hex("4d757272617920526f746862617264");
  std::vector<std::uint8_t> second(reply.size() + kAnswerBytes);
  const auto responder_keys = responder.write_answer(second, reply);
  ASSERT_TRUE(responder_keys);
  EXPECT_EQ(hex_encode(second),
            "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843"
            "9f069b267a06b3de3ecb1043bcb09807c6cd101f3826192a65f11ef3fe4317");

  std::vector<std::uint8_t> answered(reply.size());
  const auto keys = initiator.read_answer(second, answered);
  ASSERT_TRUE(keys);
  EXPECT_EQ(answered, reply);
  EXPECT_EQ(sealed(keys->initiator_to_responder, "462e20412e20486179656b"),
            "cd54383060e7a28434cca27fb1cc524cfbabeb18181589df219d07");
  EXPECT_EQ(sealed(keys->responder_to_initiator, "4361726c204d656e676572"),
            "a856d3bf0246bfc476c655009cd1ed677b8dcc5b349ae8ef2a05f2");
  EXPECT_EQ(responder_keys->initiator_to_responder, keys->initiator_to_responder);
  EXPECT_EQ(responder_keys->responder_to_initiator, keys->responder_to_initiator);
}

class HandshakeTest : public ::testing::Test {
 protected:
  TunnelKeyPair alice_ = TunnelKeyPair::generate();
  TunnelKeyPair bob_ = TunnelKeyPair::generate();
  std::array<std::uint8_t, kTimestampBytes> stamp_{1, 2, 3};
  std::array<std::uint8_t, kInitiationBytes> first_{};
  std::array<std::uint8_t, kAnswerBytes> second_{};
};

TEST_F(HandshakeTest, EveryChangedBitIsNoticed) {
  Initiator initiator(alice_, bob_.public_key);
  ASSERT_TRUE(initiator.write_initiation(stamp_, first_));
  for (std::size_t i = 0; i < first_.size(); ++i) {
    auto forged = first_;
    forged[i] ^= 0x40;
    Responder responder(bob_);
    EXPECT_FALSE(responder.read_initiation(forged, stamp_)) << i;
  }
  Responder responder(bob_);
  ASSERT_TRUE(responder.read_initiation(first_, stamp_));
  ASSERT_TRUE(responder.write_answer(second_));
  for (std::size_t i = 0; i < second_.size(); ++i) {
    auto forged = second_;
    // The top bit of a curve point is ignored (RFC 7748), but not by the hash over the message.
    forged[i] ^= 0x80;
    EXPECT_FALSE(initiator.read_answer(forged)) << i;
  }
  EXPECT_TRUE(initiator.read_answer(second_)) << "forged answers did not spoil the attempt";
}

TEST_F(HandshakeTest, AnotherKeyCannotAnswer) {
  Initiator initiator(alice_, bob_.public_key);
  ASSERT_TRUE(initiator.write_initiation(stamp_, first_));
  Responder stranger(TunnelKeyPair::generate());
  EXPECT_FALSE(stranger.read_initiation(first_, stamp_));
}

TEST_F(HandshakeTest, PointsOfSmallOrderAreRefused) {
  Initiator initiator(alice_, Key{});
  EXPECT_FALSE(initiator.write_initiation(stamp_, first_));
  Initiator honest(alice_, bob_.public_key);
  ASSERT_TRUE(honest.write_initiation(stamp_, first_));
  std::fill_n(first_.begin(), 32, 0);
  Responder responder(bob_);
  EXPECT_FALSE(responder.read_initiation(first_, stamp_));
}

TEST_F(HandshakeTest, TwoHandshakesShareNoKey) {
  const auto run = [&] {
    Initiator initiator(alice_, bob_.public_key);
    EXPECT_TRUE(initiator.write_initiation(stamp_, first_));
    Responder responder(bob_);
    EXPECT_TRUE(responder.read_initiation(first_, stamp_));
    EXPECT_TRUE(responder.write_answer(second_));
    return *initiator.read_answer(second_);
  };
  const auto one = run();
  const auto two = run();
  EXPECT_NE(one.initiator_to_responder, two.initiator_to_responder);
  EXPECT_NE(one.initiator_to_responder, one.responder_to_initiator);
}

}  // namespace
}  // namespace icon::tunnel
