#include "supervisor/tunnel/wg/keypair.h"

#include "tests/unit/supervisor_tunnel/world.h"

namespace icon::tunnel::wg {
namespace {

using namespace std::chrono_literals;

class KeypairTest : public World {
 protected:
  TransportKeys keys{Secret::random(), Secret::random()};
  Keypair sending{{1, 2}, keys, true, {}};
  Keypair receiving{{2, 1}, {keys.receive, keys.send}, false, {}};
};

TEST_F(KeypairTest, CountersEndBeforeTheyRepeat) {
  EXPECT_EQ(sending.reserve(10), 0U);
  EXPECT_EQ(sending.reserve(1), 10U);
  EXPECT_EQ(sending.reserve(kRejectAfterMessages - 13), 11U);
  EXPECT_EQ(sending.reserve(3), std::nullopt);
  EXPECT_EQ(sending.reserve(2), kRejectAfterMessages - 2);
  EXPECT_EQ(sending.reserve(1), std::nullopt);
  EXPECT_EQ(sending.reserve(~std::uint64_t{0}), std::nullopt);
  EXPECT_EQ(sending.sent(), kRejectAfterMessages);
  // The paper's limit: 2^64 - 2^13 - 1.
  EXPECT_EQ(kRejectAfterMessages, 0xffff'ffff'ffff'dfffU);
}

TEST_F(KeypairTest, CountersBeyondTheLimitAreNotOpened) {
  const auto aead = *Aead::create(AeadBackend::kAutomatic);
  for (const std::uint64_t counter : {kRejectAfterMessages - 1, kRejectAfterMessages}) {
    Datagram buffer(kTransportHeaderBytes + 20 + kSealRoomAfter);
    Segment segment{buffer.data(), 20};
    sending.seal(*aead, {&segment, 1}, counter, 0);
    const Received received{buffer.data(), segment.bytes, {}, kNoPeer};
    Opened opened{};
    receiving.open(*aead, {&received, 1}, {&opened, 1});
    EXPECT_EQ(opened, counter < kRejectAfterMessages ? Opened::kOk : Opened::kExhausted);
  }
}

TEST_F(KeypairTest, ManyMessagesMakeTheEngineRenewItsKeys) {
  EngineOptions options;
  options.rekey_after_messages = 1000;
  Node a{"10.0.0.1", "192.0.2.1:1000", options};
  Node b{"10.0.0.2", "192.0.2.2:2000", options};
  connect(a, b);
  clock.advance(10s);
  // The responder as well: it is its own counter that runs out.
  for (int i = 0; i < 1001; ++i) {
    ASSERT_EQ(send(b, a), SealStatus::kSealed);
    flow(b, a);
    ASSERT_EQ(b.peer(a).statistics.last_handshake_ms, clock.utc_ms() - 10'000) << i;
    if (!a.wire.empty()) break;
  }
  exchange(a, b);
  EXPECT_EQ(b.peer(a).statistics.last_handshake_ms, clock.utc_ms());
  EXPECT_EQ(a.delivered.size(), 1001U);
}

}  // namespace
}  // namespace icon::tunnel::wg
