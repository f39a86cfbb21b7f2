// Handshakes between two engines: who may begin, what is answered, what both have afterwards.
#include "tests/unit/supervisor_tunnel/world.h"

namespace icon::tunnel::wg {
namespace {

class EngineHandshake : public World {
 protected:
  Node a{"10.0.0.1", "192.0.2.1:1000"};
  Node b{"10.0.0.2", "192.0.2.2:2000"};
};

TEST_F(EngineHandshake, APacketBeginsItAndArrivesAfterIt) {
  a.know(b);
  b.know(a, /*with_endpoint=*/false);
  EXPECT_EQ(send(a, b, 100, 7), SealStatus::kStaged);
  ASSERT_EQ(a.wire.size(), 1U);
  EXPECT_EQ(type_of(a.wire[0].bytes), MessageType::kInitiation);
  EXPECT_EQ(a.wire[0].endpoint, b.at);
  flow(a, b);
  ASSERT_EQ(b.wire.size(), 1U);
  EXPECT_EQ(type_of(b.wire[0].bytes), MessageType::kResponse);
  flow(b, a);
  ASSERT_EQ(a.wire.size(), 1U);
  EXPECT_EQ(type_of(a.wire[0].bytes), MessageType::kTransport);
  EXPECT_EQ(a.wire[0].bytes.size(), sealed_bytes(120, 1420));
  flow(a, b);
  ASSERT_EQ(b.delivered.size(), 1U);
  EXPECT_EQ(b.delivered[0], make_packet(a.inner, b.inner, 100, 7));
  EXPECT_EQ(send(b, a, 5), SealStatus::kSealed);
  flow(b, a);
  EXPECT_EQ(a.delivered.size(), 1U);
  EXPECT_EQ(a.drops() + b.drops(), 0U);
  EXPECT_EQ(b.peer(a).endpoint, a.at);
  EXPECT_EQ(a.peer(b).statistics.last_handshake_ms, clock.utc_ms());
  EXPECT_EQ(b.peer(a).statistics.last_handshake_ms, clock.utc_ms());
  EXPECT_EQ(a.peer(b).statistics.tx_bytes, b.peer(a).statistics.rx_bytes);
  EXPECT_EQ(b.peer(a).statistics.tx_bytes, a.peer(b).statistics.rx_bytes);
}

}  // namespace
}  // namespace icon::tunnel::wg
