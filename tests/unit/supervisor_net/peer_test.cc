#include "supervisor/tunnel/peer.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <random>

namespace icon::tunnel {
namespace {

using Bytes_ = std::vector<std::uint8_t>;

Bytes_ ip_packet(std::size_t bytes, std::uint8_t last_source_byte = 1) {
  Bytes_ packet(bytes);
  packet[0] = 0x45;
  packet[2] = static_cast<std::uint8_t>(bytes >> 8);
  packet[3] = static_cast<std::uint8_t>(bytes);
  const std::uint8_t addresses[] = {10, 0, 0, last_source_byte, 10, 0, 0, 2};
  std::copy(std::begin(addresses), std::end(addresses), packet.begin() + 12);
  return packet;
}

// One end: what it sends goes to a wire that the test can cut, replay and change.
struct End final : PeerSink {
  explicit End(TunnelKeyPair own, Key other, FakeClock& clock)
      : clock(clock), peer(own, other, *this) {
    peer.set_allowed({*Prefix::parse("0.0.0.0/0")});
  }
  void send_datagram(std::span<const std::uint8_t> datagram) override {
    outbox.emplace_back(datagram.begin(), datagram.end());
  }
  void deliver_packet(std::span<const std::uint8_t> packet) override {
    inbox.emplace_back(packet.begin(), packet.end());
  }
  void receive(Bytes_ datagram) { peer.on_datagram(datagram, clock.steady(), clock.utc_ms()); }
  void send(const Bytes_& packet) {
    Bytes_ buffer(kTransportHeaderBytes + packet.size() + Peer::kPacketRoom);
    std::copy(packet.begin(), packet.end(), buffer.begin() + kTransportHeaderBytes);
    peer.on_packet(buffer, packet.size(), clock.steady(), clock.utc_ms());
  }

  FakeClock& clock;
  std::deque<Bytes_> outbox;
  std::deque<Bytes_> inbox;
  Peer peer;
};

class PeerTest : public ::testing::Test {
 protected:
  PeerTest() {
    make_alice();
    make_bob();
  }
  void make_alice() { alice_ = std::make_unique<End>(alice_key_, bob_key_.public_key, clock_); }
  void make_bob() { bob_ = std::make_unique<End>(bob_key_, alice_key_.public_key, clock_); }
  // Carries everything until nothing moves.
  void exchange() {
    while (!alice_->outbox.empty() || !bob_->outbox.empty()) {
      carry(*alice_, *bob_);
      carry(*bob_, *alice_);
    }
  }
  static void carry(End& from, End& to) {
    while (!from.outbox.empty()) {
      auto datagram = std::move(from.outbox.front());
      from.outbox.pop_front();
      to.receive(std::move(datagram));
    }
  }
  void advance(Millis by) {
    clock_.advance(by);
    for (auto* end : {alice_.get(), bob_.get()})
      if (end->peer.deadline() <= clock_.steady())
        end->peer.on_timer(clock_.steady(), clock_.utc_ms());
  }
  void establish() {
    alice_->peer.connect(clock_.steady(), clock_.utc_ms());
    exchange();
    ASSERT_EQ(alice_->peer.counters().handshakes, 1u);
  }
  bool passes(End& from, End& to) {
    const auto before = to.inbox.size();
    from.send(ip_packet(100));
    exchange();
    return to.inbox.size() == before + 1;
  }

  FakeClock clock_;
  TunnelKeyPair alice_key_ = TunnelKeyPair::generate();
  TunnelKeyPair bob_key_ = TunnelKeyPair::generate();
  std::unique_ptr<End> alice_;
  std::unique_ptr<End> bob_;
};

TEST_F(PeerTest, CarriesPacketsBothWaysUnchanged) {
  establish();
  for (const std::size_t bytes : {20u, 21u, 100u, 1380u}) {
    alice_->send(ip_packet(bytes));
    bob_->send(ip_packet(bytes));
    exchange();
    ASSERT_FALSE(bob_->inbox.empty());
    EXPECT_EQ(bob_->inbox.back(), ip_packet(bytes)) << "padding removed";
    EXPECT_EQ(alice_->inbox.back(), ip_packet(bytes));
  }
}

TEST_F(PeerTest, APacketStartsTheHandshakeAndWaitsForIt) {
  alice_->send(ip_packet(60));
  EXPECT_EQ(alice_->outbox.size(), 1u);
  exchange();
  ASSERT_EQ(bob_->inbox.size(), 1u);
}

TEST_F(PeerTest, WaitingPacketsAreLimited) {
  for (std::size_t i = 0; i < kStagedPacketsMax + 10; ++i) alice_->send(ip_packet(60));
  EXPECT_EQ(alice_->peer.counters().unstaged, 10u);
  exchange();
  EXPECT_EQ(bob_->inbox.size(), kStagedPacketsMax);
}

TEST_F(PeerTest, BothMayBeginAtOnce) {
  alice_->peer.connect(clock_.steady(), clock_.utc_ms());
  bob_->peer.connect(clock_.steady(), clock_.utc_ms());
  exchange();
  EXPECT_TRUE(passes(*alice_, *bob_));
  EXPECT_TRUE(passes(*bob_, *alice_));
}

TEST_F(PeerTest, NothingOfThePacketIsReadableOutside) {
  establish();
  Bytes_ packet = ip_packet(200);
  std::fill(packet.begin() + 20, packet.end(), 0x5a);
  alice_->send(packet);
  const Bytes_ needle(8, 0x5a);
  const auto& sent = alice_->outbox.back();
  EXPECT_EQ(std::search(sent.begin(), sent.end(), needle.begin(), needle.end()), sent.end());
}

TEST_F(PeerTest, ReplayedForgedAndTruncatedAreDroppedAndCounted) {
  establish();
  alice_->send(ip_packet(100));
  const Bytes_ datagram = alice_->outbox.back();
  exchange();
  ASSERT_EQ(bob_->inbox.size(), 1u);
  bob_->receive(datagram);
  EXPECT_EQ(bob_->peer.counters().replayed, 1u);
  alice_->send(ip_packet(100));
  const Bytes_ fresh = alice_->outbox.back();
  alice_->outbox.clear();
  std::uint64_t refused = 0;
  for (std::size_t i = 0; i < fresh.size(); ++i) {
    Bytes_ forged = fresh;
    forged[i] ^= 1;
    bob_->receive(forged);
    ++refused;
  }
  for (std::size_t bytes = 0; bytes < fresh.size(); ++bytes) {
    bob_->receive(Bytes_(fresh.begin(), fresh.begin() + static_cast<std::ptrdiff_t>(bytes)));
    ++refused;
  }
  const auto& counters = bob_->peer.counters();
  EXPECT_EQ(counters.forged + counters.malformed, refused);
  EXPECT_EQ(bob_->inbox.size(), 1u);
  bob_->receive(fresh);
  EXPECT_EQ(bob_->inbox.size(), 2u) << "the true one still arrives";
}

TEST_F(PeerTest, AReplayedInitiationChangesNothing) {
  alice_->peer.connect(clock_.steady(), clock_.utc_ms());
  const Bytes_ initiation = alice_->outbox.front();
  exchange();
  clock_.advance(Millis(1'000));
  bob_->receive(initiation);
  EXPECT_TRUE(bob_->outbox.empty()) << "no answer";
  EXPECT_EQ(bob_->peer.counters().replayed, 1u);
  EXPECT_TRUE(passes(*alice_, *bob_));
}

TEST_F(PeerTest, AStrangerIsRefused) {
  End stranger(TunnelKeyPair::generate(), bob_key_.public_key, clock_);
  stranger.peer.connect(clock_.steady(), clock_.utc_ms());
  bob_->receive(stranger.outbox.front());
  EXPECT_TRUE(bob_->outbox.empty());
  EXPECT_EQ(bob_->peer.counters().forged, 1u);
}

TEST_F(PeerTest, AFloodOfInitiationsIsThinnedOut) {
  for (int i = 0; i < 100; ++i) {
    make_alice();
    alice_->peer.connect(clock_.steady(), clock_.utc_ms() + i);
    bob_->receive(alice_->outbox.front());
  }
  EXPECT_EQ(bob_->outbox.size(), 1u);
}

TEST_F(PeerTest, LostInitiationsAreRepeatedWithPauses) {
  alice_->peer.set_persistent_keepalive(Millis(10'000));
  alice_->peer.connect(clock_.steady(), clock_.utc_ms());
  std::size_t sent = 0;
  for (int second = 0; second < 300; ++second) {
    sent += alice_->outbox.size();
    alice_->outbox.clear();
    advance(Millis(1'000));
  }
  EXPECT_GT(sent, 15u);
  EXPECT_LT(sent, 40u) << "15 s apart in the end";
  for (int second = 0; second < 16; ++second) {
    advance(Millis(1'000));
    exchange();
  }
  EXPECT_TRUE(passes(*alice_, *bob_)) << "and it never gives up";
}

TEST_F(PeerTest, RekeysUnderTrafficWithoutLoss) {
  establish();
  std::size_t sent = 0;
  for (int second = 0; second < 600; ++second) {
    alice_->send(ip_packet(100));
    bob_->send(ip_packet(100));
    ++sent;
    exchange();
    advance(Millis(1'000));
    exchange();
  }
  EXPECT_EQ(bob_->inbox.size(), sent);
  EXPECT_EQ(alice_->inbox.size(), sent);
  EXPECT_GE(alice_->peer.counters().handshakes, 4u);
  EXPECT_LE(alice_->peer.counters().handshakes, 8u);
}

TEST_F(PeerTest, PersistentKeepaliveKeepsASessionReady) {
  alice_->peer.set_persistent_keepalive(Millis(10'000));
  establish();
  for (int second = 0; second < 1'000; ++second) {
    advance(Millis(1'000));
    exchange();
  }
  bob_->send(ip_packet(100));
  ASSERT_EQ(bob_->outbox.size(), 1u);
  EXPECT_EQ(bob_->outbox.front()[0], static_cast<std::uint8_t>(MessageType::kTransport))
      << "no handshake is needed first";
}

TEST_F(PeerTest, OldKeysAreNotUsed) {
  establish();
  alice_->send(ip_packet(100));
  const Bytes_ held_back = alice_->outbox.front();
  alice_->outbox.clear();
  clock_.advance(kRejectAfter);
  bob_->receive(held_back);
  EXPECT_TRUE(bob_->inbox.empty());
  EXPECT_TRUE(passes(*alice_, *bob_)) << "with new ones";
}

TEST_F(PeerTest, APeerThatRestartsIsFoundAgain) {
  establish();
  ASSERT_TRUE(passes(*alice_, *bob_));
  make_bob();
  clock_.advance(Millis(1'000));
  bob_->peer.connect(clock_.steady(), clock_.utc_ms());
  exchange();
  EXPECT_TRUE(passes(*alice_, *bob_));
  EXPECT_TRUE(passes(*bob_, *alice_));
}

TEST_F(PeerTest, SilenceStartsANewHandshake) {
  establish();
  make_bob();  // and it does not begin itself
  for (int second = 0; second < 20; ++second) {
    alice_->send(ip_packet(100));
    exchange();
    advance(Millis(1'000));
    exchange();
  }
  EXPECT_GT(bob_->inbox.size(), 0u);
}

TEST_F(PeerTest, OnlyAllowedAddressesPass) {
  establish();
  bob_->peer.set_allowed({*Prefix::parse("10.0.0.1/32"), *Prefix::parse("10.0.0.2/32")});
  alice_->send(ip_packet(100, 1));
  alice_->send(ip_packet(100, 9));
  exchange();
  EXPECT_EQ(bob_->inbox.size(), 1u);
  EXPECT_EQ(bob_->peer.counters().refused, 1u);
}

TEST_F(PeerTest, RandomBytesChangeNothing) {
  establish();
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int i = 0; i < 50'000; ++i) {
    Bytes_ datagram(random() % 2 == 0 ? random() % 200 : random() % 1500);
    for (auto& byte : datagram) byte = static_cast<std::uint8_t>(random());
    if (datagram.size() >= 4) {
      datagram[0] = static_cast<std::uint8_t>(random() % 6);
      datagram[1] = datagram[2] = datagram[3] = 0;
    }
    if (i % 7 == 0) datagram.resize(kInitiationMessageBytes);
    if (i % 7 == 1) datagram.resize(kAnswerMessageBytes);
    bob_->receive(std::move(datagram));
    clock_.advance(Millis(i % 3 == 0 ? 1 : 0));
  }
  EXPECT_TRUE(bob_->outbox.empty());
  EXPECT_TRUE(bob_->inbox.empty());
  EXPECT_TRUE(passes(*alice_, *bob_));
}

TEST(InnerPacket, LengthsAreChecked) {
  EXPECT_FALSE(parse_inner({}));
  Bytes_ packet = ip_packet(40);
  EXPECT_EQ(parse_inner(packet)->bytes, 40u);
  packet.push_back(0);
  EXPECT_EQ(parse_inner(packet)->bytes, 40u);
  packet.resize(39);
  EXPECT_FALSE(parse_inner(packet));
  packet.resize(19);
  EXPECT_FALSE(parse_inner(packet));
  Bytes_ tiny = ip_packet(40);
  tiny[3] = 19;
  EXPECT_FALSE(parse_inner(tiny));
  Bytes_ six(40);
  six[0] = 0x60;
  EXPECT_EQ(parse_inner(six)->bytes, 40u);
  six[5] = 1;
  EXPECT_FALSE(parse_inner(six));
  six[0] = 0x10;
  EXPECT_FALSE(parse_inner(six));
}

}  // namespace
}  // namespace icon::tunnel
