// What may arrive in a session, and what becomes of everything else.
#include <random>

#include "tests/unit/supervisor_tunnel/world.h"

namespace icon::tunnel::wg {
namespace {

class EngineTransport : public World {
 protected:
  void SetUp() override { connect(a, b); }

  // A sealed packet from a, taken off the wire.
  Datagram sealed(std::size_t payload = 100, std::uint8_t mark = 0) {
    EXPECT_EQ(send(a, b, payload, mark), SealStatus::kSealed);
    return take(a);
  }

  Node a{"10.0.0.1", "192.0.2.1:1000"};
  Node b{"10.0.0.2", "192.0.2.2:2000"};
};

TEST_F(EngineTransport, IsDeliveredOnceInAnyOrder) {
  std::vector<Datagram> datagrams;
  for (int i = 0; i < 200; ++i) datagrams.push_back(sealed(50, static_cast<std::uint8_t>(i)));
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::shuffle(datagrams.begin(), datagrams.end(), std::mt19937(seed));
  for (const auto& datagram : datagrams) arrive(b, datagram, a.at);
  EXPECT_EQ(b.delivered.size(), 200U);
  for (const auto& datagram : datagrams) arrive(b, datagram, a.at);
  EXPECT_EQ(b.delivered.size(), 200U);
  EXPECT_EQ(b.drops(Drop::kReplayed), 200U);
}

TEST_F(EngineTransport, TooOldIsAReplay) {
  const Datagram old = sealed();
  for (std::uint64_t i = 0; i < ReplayWindow::kSize; ++i) arrive(b, sealed(0), a.at);
  arrive(b, old, a.at);
  EXPECT_EQ(b.drops(Drop::kReplayed), 1U);
}

TEST_F(EngineTransport, EachTruncationIsDroppedAndCounted) {
  const Datagram whole = sealed(64);
  const std::uint64_t before = b.drops();
  for (std::size_t length = 0; length < whole.size(); ++length)
    arrive(b, Datagram(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)), a.at);
  EXPECT_EQ(b.drops() - before, whole.size());
  EXPECT_EQ(b.drops(Drop::kMalformed), kTransportOverhead);
  EXPECT_EQ(b.drops(Drop::kForged), whole.size() - kTransportOverhead);
  EXPECT_TRUE(b.delivered.empty());
  arrive(b, whole, a.at);
  EXPECT_EQ(b.delivered.size(), 1U);
}

TEST_F(EngineTransport, EachFlippedBitIsSeen) {
  const Datagram whole = sealed(64);
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    Datagram changed = whole;
    changed[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    const std::uint64_t before = b.drops();
    arrive(b, changed, a.at);
    ASSERT_EQ(b.drops() - before, 1U) << bit;
  }
  EXPECT_TRUE(b.delivered.empty());
  // Not even a forged counter has moved the window.
  arrive(b, whole, a.at);
  EXPECT_EQ(b.delivered.size(), 1U);
  EXPECT_EQ(b.peer(a).endpoint, a.at);
}

TEST_F(EngineTransport, ItsOwnDatagramsDoNotComeBack) {
  arrive(a, sealed(), b.at);
  EXPECT_EQ(a.drops(Drop::kUnknownIndex), 1U);
}

TEST_F(EngineTransport, RoamsWithEveryAuthenticPacket) {
  const Endpoint elsewhere = endpoint("[2001:db8::99]:4242");
  Datagram forged = sealed();
  forged.back() ^= 1;
  arrive(b, forged, elsewhere);
  EXPECT_EQ(b.peer(a).endpoint, a.at);
  const Datagram good = sealed();
  arrive(b, good, elsewhere);
  EXPECT_EQ(b.peer(a).endpoint, elsewhere);
  // A replay from a third place does not lead the answers away.
  arrive(b, good, endpoint("203.0.113.5:1"));
  EXPECT_EQ(b.peer(a).endpoint, elsewhere);
  send(b, a);
  EXPECT_EQ(b.wire.front().endpoint, elsewhere);
}

TEST_F(EngineTransport, PadsTo16ButNotBeyondTheMtu) {
  for (std::size_t bytes = 20; bytes <= 1420; ++bytes) {
    const Datagram datagram = sealed(bytes - 20);
    const std::size_t padded = std::min<std::size_t>((bytes + 15) / 16 * 16, 1420);
    ASSERT_EQ(datagram.size(), padded + kTransportOverhead) << bytes;
    arrive(b, datagram, a.at);
    ASSERT_EQ(b.delivered.back().size(), bytes);
  }
  EXPECT_EQ(padded_bytes(1430, 1420), 1430U);
  EXPECT_EQ(padded_bytes(1430, 0), 1440U);
}

TEST_F(EngineTransport, AnotherSourceThanAllowedIsRefused) {
  const auto spoofed = make_packet(address("10.0.0.77"), b.inner, 10);
  ASSERT_EQ(send_packet(a, b.inner, spoofed), SealStatus::kSealed);
  flow(a, b);
  EXPECT_TRUE(b.delivered.empty());
  EXPECT_EQ(b.drops(Drop::kSource), 1U);
}

TEST_F(EngineTransport, WhatIsNoIpPacketIsRefused) {
  auto packet = make_packet(a.inner, b.inner, 40);
  for (const std::uint8_t first : {0x00, 0x15, 0x44, 0x75, 0xff}) {
    packet[0] = first;
    send_packet(a, b.inner, packet);
  }
  packet[0] = 0x45;
  packet[2] = 1;  // longer than it is
  send_packet(a, b.inner, packet);
  packet[2] = 0;
  packet[3] = 19;  // shorter than its header
  send_packet(a, b.inner, packet);
  packet[0] = 0x65;
  send_packet(a, b.inner, std::vector<std::uint8_t>(packet.begin(), packet.begin() + 30));
  flow(a, b);
  EXPECT_TRUE(b.delivered.empty());
  EXPECT_EQ(b.drops(Drop::kBadPacket), 8U);
}

TEST_F(EngineTransport, WithoutAPeerOrAnEndpointNothingIsSent) {
  EXPECT_EQ(send_packet(a, address("10.9.9.9"), make_packet(a.inner, b.inner, 1)),
            SealStatus::kDropped);
  EXPECT_EQ(a.drops(Drop::kNoRoute), 1U);
  Node lonely("10.0.0.3", "192.0.2.3:3000");
  lonely.know(b, /*with_endpoint=*/false);
  EXPECT_EQ(send(lonely, b), SealStatus::kDropped);
  EXPECT_EQ(lonely.drops(Drop::kNoEndpoint), 1U);
  lonely.engine->set_private_key(Secret());
  EXPECT_EQ(send(lonely, b), SealStatus::kDropped);
  EXPECT_EQ(lonely.drops(Drop::kNoKey), 1U);
}

TEST_F(EngineTransport, ABatchMayHoldAnything) {
  // Two sessions of two peers, a forgery, noise and an initiation, as one receive offload train.
  Node c("10.0.0.3", "192.0.2.3:3000");
  connect(c, b);
  std::vector<Datagram> datagrams = {sealed(100, 1), sealed(100, 2)};
  EXPECT_EQ(send(c, b, 100, 3), SealStatus::kSealed);
  datagrams.push_back(take(c));
  datagrams.push_back(sealed(100, 4));
  datagrams.push_back(sealed(100, 5));
  datagrams.back()[40] ^= 1;
  datagrams.push_back(Datagram(148, 0));
  datagrams.push_back({});
  datagrams.push_back(sealed(100, 6));
  std::vector<Received> batch;
  for (auto& datagram : datagrams) batch.push_back({datagram.data(), datagram.size(), {}, 99});
  b.engine->receive(batch, a.at, now(), b.out);
  const bool expected[] = {true, true, true, true, false, false, false, true};
  for (std::size_t i = 0; i < batch.size(); ++i) {
    EXPECT_EQ(!batch[i].packet.empty(), expected[i]) << i;
    EXPECT_EQ(batch[i].peer == kNoPeer, !expected[i]) << i;
  }
  EXPECT_EQ(batch[2].peer, b.peer(c).id);
  EXPECT_EQ(batch[7].peer, b.peer(a).id);
  EXPECT_EQ(batch[7].packet.size(), 120U);
  EXPECT_EQ(batch[7].packet[30], 6);
}

TEST_F(EngineTransport, ALargeBatchIsSealedAndOpenedInPlace) {
  constexpr std::size_t kCount = 150;  // more than the AEAD takes at once
  constexpr std::size_t kStride = sealed_bytes(1000, 1420);
  std::vector<std::uint8_t> buffer(kCount * kStride);
  std::vector<Segment> segments;
  for (std::size_t i = 0; i < kCount; ++i) {
    const auto packet = make_packet(a.inner, b.inner, 980, static_cast<std::uint8_t>(i));
    std::copy(packet.begin(), packet.end(),
              buffer.begin() + static_cast<std::ptrdiff_t>(i * kStride + kTransportHeaderBytes));
    segments.push_back({buffer.data() + i * kStride, packet.size()});
  }
  ASSERT_EQ(a.engine->seal(b.inner, segments, now(), a.out).status, SealStatus::kSealed);
  std::vector<Received> batch;
  for (const Segment& segment : segments) {
    EXPECT_EQ(segment.bytes, kStride);
    batch.push_back({segment.datagram, segment.bytes, {}, kNoPeer});
  }
  b.engine->receive(batch, a.at, now(), b.out);
  for (std::size_t i = 0; i < kCount; ++i) {
    ASSERT_EQ(batch[i].packet.size(), 1000U) << i;
    ASSERT_EQ(batch[i].packet.data(), buffer.data() + i * kStride + kTransportHeaderBytes);
    ASSERT_EQ(batch[i].packet[999], static_cast<std::uint8_t>(i));
  }
}

TEST_F(EngineTransport, CarriesIpv6InsideAndOutside) {
  Node c("2001:db8::1", "[2001:db8:1::1]:1000");
  Node d("2001:db8::2", "[2001:db8:1::2]:2000");
  connect(c, d);
  send(d, c, 1200, 9);
  flow(d, c);
  ASSERT_EQ(c.delivered.size(), 1U);
  EXPECT_EQ(c.delivered[0], make_packet(d.inner, c.inner, 1200, 9));
}

TEST_F(EngineTransport, ASessionThatIsTooOldIsOver) {
  const Datagram early = sealed();
  clock.advance(kRejectAfterTime - Millis(1));
  arrive(b, early, a.at);
  EXPECT_EQ(b.delivered.size(), 1U);
  const Datagram late = sealed();
  clock.advance(Millis(1));
  arrive(b, late, a.at);
  EXPECT_EQ(b.drops(Drop::kExpiredKey), 1U);
  EXPECT_EQ(send(a, b), SealStatus::kStaged);
}

}  // namespace
}  // namespace icon::tunnel::wg
