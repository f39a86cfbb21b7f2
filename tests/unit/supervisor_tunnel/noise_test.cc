// A whole conversation against a vector that another implementation made
// (make_wireguard_vector.py), then everything that must not work.
#include "supervisor/tunnel/wg/noise.h"

#include "tests/unit/supervisor_tunnel/wireguard_vector.h"
#include "tests/unit/supervisor_tunnel/world.h"

namespace icon::tunnel::wg {
namespace {

constexpr std::uint32_t kInitiatorIndex = 0x11223344;
constexpr std::uint32_t kResponderIndex = 0xa1b2c3d4;

class Noise : public testing::Test {
 protected:
  std::optional<Initiator> begin(InitiationMessage& message) {
    auto initiator =
        Initiator::begin(initiator_, to_responder_, array_from_hex<12>(vector::kTimestamp),
                         kInitiatorIndex, message, secret_from_hex(vector::kInitiatorEphemeral));
    CookieHolder(responder_.public_key).add_macs(message, {});
    return initiator;
  }
  std::optional<TransportKeys> respond(const InitiationMessage& initiation,
                                       ResponseMessage& response) {
    Responder responder(responder_, secret_from_hex(vector::kResponderEphemeral));
    if (responder.read_static(initiation) != initiator_.public_key) return std::nullopt;
    if (!responder.read_timestamp(to_initiator_)) return std::nullopt;
    auto keys = responder.respond(to_initiator_, kResponderIndex, response);
    CookieHolder(initiator_.public_key).add_macs(response, {});
    return keys;
  }

  const Secret psk_ = secret_from_hex(vector::kPsk);
  const Identity initiator_ = Identity::from_private(secret_from_hex(vector::kInitiatorStatic));
  const Identity responder_ = Identity::from_private(secret_from_hex(vector::kResponderStatic));
  const Remote to_responder_ = Remote::of(initiator_, responder_.public_key, psk_);
  const Remote to_initiator_ = Remote::of(responder_, initiator_.public_key, psk_);
};

TEST_F(Noise, WholeConversationIsThatOfTheVector) {
  InitiationMessage initiation{};
  const auto initiator = begin(initiation);
  ASSERT_TRUE(initiator);
  EXPECT_EQ(to_hex(initiation), vector::kInitiation);

  ResponseMessage response{};
  const auto responder_keys = respond(initiation, response);
  ASSERT_TRUE(responder_keys);
  EXPECT_EQ(to_hex(response), vector::kResponse);

  const auto initiator_keys = initiator->finish(initiator_, psk_, response);
  ASSERT_TRUE(initiator_keys);
  EXPECT_EQ(to_hex(initiator_keys->send.bytes()), vector::kInitiatorKey);
  EXPECT_EQ(to_hex(initiator_keys->receive.bytes()), vector::kResponderKey);
  EXPECT_EQ(to_hex(responder_keys->send.bytes()), vector::kResponderKey);
  EXPECT_EQ(to_hex(responder_keys->receive.bytes()), vector::kInitiatorKey);
}

TEST_F(Noise, TransportIsThatOfTheVector) {
  const TransportKeys of_initiator{secret_from_hex(vector::kInitiatorKey),
                                   secret_from_hex(vector::kResponderKey)};
  const TransportKeys of_responder{of_initiator.receive, of_initiator.send};
  Keypair initiator({kInitiatorIndex, kResponderIndex}, of_initiator, true, {});
  Keypair responder({kResponderIndex, kInitiatorIndex}, of_responder, false, {});
  for (const AeadBackend backend : kAeadBackends) {
    const auto aead = Aead::create(backend);
    if (!aead) continue;
    const auto packet = from_hex(vector::kPacket);
    Datagram buffer(kTransportHeaderBytes + packet.size() + kSealRoomAfter);
    std::copy(packet.begin(), packet.end(), buffer.begin() + kTransportHeaderBytes);
    Segment segment{buffer.data(), packet.size()};
    initiator.seal(**aead, {&segment, 1}, 0, 1420);
    buffer.resize(segment.bytes);
    EXPECT_EQ(to_hex(buffer), vector::kTransport) << to_string(backend);

    Datagram empty(kTransportOverhead);
    Segment keepalive{empty.data(), 0};
    responder.seal(**aead, {&keepalive, 1}, 7, 1420);
    EXPECT_EQ(to_hex(empty), vector::kKeepalive) << to_string(backend);
  }
}

TEST_F(Noise, CookieIsThatOfTheVector) {
  CookieHolder holder(responder_.public_key);
  InitiationMessage initiation = array_from_hex<InitiationLayout::kBytes>(vector::kInitiation);
  holder.add_macs(initiation, {});
  ASSERT_TRUE(holder.accept(array_from_hex<CookieReplyLayout::kBytes>(vector::kCookieReply), {}));
  holder.add_macs(initiation, {});
  EXPECT_EQ(to_hex(initiation), vector::kInitiationWithCookie);
}

TEST_F(Noise, EachFlippedBitOfAnInitiationIsSeen) {
  InitiationMessage good{};
  ASSERT_TRUE(begin(good));
  // Type and sender are covered by the MACs alone.
  for (std::size_t bit = InitiationLayout::kEphemeral * 8; bit < InitiationLayout::kMac1 * 8;
       ++bit) {
    InitiationMessage changed = good;
    changed[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    // X25519 ignores the highest bit of a point, but the hash does not.
    ResponseMessage response{};
    ASSERT_FALSE(respond(changed, response)) << bit;
  }
  const CookieChecker checker(responder_);
  for (std::size_t bit = 0; bit < InitiationLayout::kMac2 * 8; ++bit) {
    InitiationMessage changed = good;
    changed[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    ASSERT_FALSE(checker.is_mac1_valid(changed)) << bit;
  }
  EXPECT_TRUE(checker.is_mac1_valid(good));
}

TEST_F(Noise, EachFlippedBitOfAResponseIsSeen) {
  InitiationMessage initiation{};
  const auto initiator = begin(initiation);
  ResponseMessage good{};
  ASSERT_TRUE(respond(initiation, good));
  for (std::size_t bit = ResponseLayout::kEphemeral * 8; bit < ResponseLayout::kMac1 * 8; ++bit) {
    ResponseMessage changed = good;
    changed[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    ASSERT_FALSE(initiator->finish(initiator_, psk_, changed)) << bit;
  }
  // What failed has spoilt nothing.
  EXPECT_TRUE(initiator->finish(initiator_, psk_, good));
}

TEST_F(Noise, AnotherPresharedKeyDoesNotFit) {
  InitiationMessage initiation{};
  const auto initiator = begin(initiation);
  ResponseMessage response{};
  ASSERT_TRUE(respond(initiation, response));
  EXPECT_FALSE(initiator->finish(initiator_, Secret(), response));
  EXPECT_FALSE(initiator->finish(initiator_, Secret::random(), response));
}

TEST_F(Noise, AnotherReceiverCannotReadIt) {
  InitiationMessage initiation{};
  ASSERT_TRUE(begin(initiation));
  const Identity stranger = Identity::from_private(Secret::random());
  Responder responder(stranger);
  EXPECT_FALSE(responder.read_static(initiation));
}

TEST_F(Noise, AClaimedKeyMustBeOwned) {
  // Mallory knows everybody's public key, and claims to be the initiator.
  const Secret mallory = Secret::random();
  Identity liar = Identity::from_private(mallory);
  liar.public_key = initiator_.public_key;
  const Remote to_responder = Remote::of(liar, responder_.public_key, psk_);
  InitiationMessage initiation{};
  ASSERT_TRUE(Initiator::begin(liar, to_responder, {}, 1, initiation));
  Responder responder(responder_);
  EXPECT_EQ(responder.read_static(initiation), initiator_.public_key);
  EXPECT_FALSE(responder.read_timestamp(to_initiator_));
}

TEST_F(Noise, AnEphemeralOfSmallOrderIsRefused) {
  InitiationMessage initiation{};
  ASSERT_TRUE(begin(initiation));
  std::fill_n(initiation.begin() + InitiationLayout::kEphemeral, 32, std::uint8_t{0});
  Responder responder(responder_);
  EXPECT_FALSE(responder.read_static(initiation));
}

}  // namespace
}  // namespace icon::tunnel::wg
