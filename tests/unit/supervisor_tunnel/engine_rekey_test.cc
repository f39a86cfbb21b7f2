// Handshakes that meet each other, are lost, repeated, forged; indices; counters that end.
#include <random>

#include "tests/unit/supervisor_tunnel/world.h"

namespace icon::tunnel::wg {
namespace {

using namespace std::chrono_literals;

class EngineRekey : public World {
 protected:
  // Both directions work, and nothing is lost.
  void expect_connected() {
    a.delivered.clear();
    b.delivered.clear();
    for (int i = 0; i < 3; ++i) {
      send(a, b);
      send(b, a);
      exchange(a, b);
    }
    EXPECT_EQ(a.delivered.size(), 3U);
    EXPECT_EQ(b.delivered.size(), 3U);
  }

  Node a{"10.0.0.1", "192.0.2.1:1000"};
  Node b{"10.0.0.2", "192.0.2.2:2000"};
};

TEST_F(EngineRekey, BothBeginAtOnce) {
  a.know(b);
  b.know(a);
  send(a, b, 10, 1);
  send(b, a, 10, 2);
  ASSERT_EQ(type_of(a.wire[0].bytes), MessageType::kInitiation);
  ASSERT_EQ(type_of(b.wire[0].bytes), MessageType::kInitiation);
  exchange(a, b);
  EXPECT_EQ(a.delivered.size(), 1U);
  EXPECT_EQ(b.delivered.size(), 1U);
  expect_connected();
  EXPECT_EQ(a.drops() + b.drops(), 0U);
}

TEST_F(EngineRekey, BothRenewAtOnceUnderTraffic) {
  connect(a, b);
  // Both sides were initiators once, so that both want to renew.
  ASSERT_TRUE(b.engine->connect(a.public_key, now()));
  clock.advance(kRekeyAfterTime);
  send(a, b);
  for (Node* node : {&a, &b}) {
    Node& other = node == &a ? b : a;
    ASSERT_TRUE(node->engine->connect(other.public_key, now()));
  }
  for (int i = 0; i < 50; ++i) {
    send(a, b);
    send(b, a);
    if (i % 3 == 0) flow(a, b);
    if (i % 4 == 0) flow(b, a);
  }
  exchange(a, b);
  EXPECT_EQ(b.delivered.size(), 51U);
  EXPECT_EQ(a.delivered.size(), 50U);
  expect_connected();
}

// Any order, any loss, any repetition: afterwards they talk, and nothing was delivered twice.
TEST_F(EngineRekey, SurvivesABadNetwork) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  a.know(b);
  b.know(a);
  std::vector<std::pair<Node*, Datagram>> under_way;
  std::uint64_t sent = 0;
  for (int round = 0; round < 20'000; ++round) {
    Node& from = random() % 2 == 0 ? a : b;
    Node& to = &from == &a ? b : a;
    if (random() % 4 == 0) {
      send(from, to, 20, static_cast<std::uint8_t>(round));
      ++sent;
    }
    for (Node* node : {&a, &b}) {
      node->engine->tick(now(), node->out);
      collect(*node);
      for (; !node->wire.empty(); node->wire.pop_front())
        if (random() % 10 != 0) under_way.emplace_back(node, std::move(node->wire.front().bytes));
    }
    if (!under_way.empty() && random() % 3 != 0) {
      const std::size_t at = random() % under_way.size();
      auto& [sender, bytes] = under_way[at];
      arrive(sender == &a ? b : a, bytes, sender->at);
      if (random() % 5 != 0) {
        under_way[at] = std::move(under_way.back());
        under_way.pop_back();
      }
    }
    if (random() % 8 == 0) clock.advance(Millis(random() % 1000));
  }
  EXPECT_LE(a.delivered.size() + b.delivered.size(), sent);
  EXPECT_GE(a.delivered.size() + b.delivered.size(), sent / 2);
  EXPECT_EQ(a.drops(Drop::kForged) + b.drops(Drop::kForged), 0U);
  EXPECT_EQ(a.drops(Drop::kForgedHandshake) + b.drops(Drop::kForgedHandshake), 0U);
  a.wire.clear();
  b.wire.clear();
  advance({&a, &b}, 6min);
  send(a, b);
  exchange(a, b);
  expect_connected();
}

TEST_F(EngineRekey, AReplayedInitiationIsRefused) {
  a.know(b);
  b.know(a);
  send(a, b);
  const Datagram initiation = a.wire[0].bytes;
  exchange(a, b);
  clock.advance(1min);
  arrive(b, initiation, endpoint("203.0.113.9:9"));
  EXPECT_TRUE(b.wire.empty());
  EXPECT_EQ(b.drops(Drop::kReplayedInitiation), 1U);
  EXPECT_EQ(b.peer(a).endpoint, a.at);
  // Also by an older one that never arrived.
  expect_connected();
}

TEST_F(EngineRekey, AnOlderInitiationIsRefusedAfterANewerOne) {
  a.know(b);
  b.know(a);
  send(a, b);
  const Datagram first = take(a);
  advance({&a}, 6s, /*is_connected=*/false);
  const Datagram second = take(a);
  arrive(b, second, a.at);
  clock.advance(1s);
  arrive(b, first, a.at);
  EXPECT_EQ(b.drops(Drop::kReplayedInitiation), 1U);
  exchange(a, b);
  expect_connected();
}

TEST_F(EngineRekey, OnePeerMayNotBegin50TimesASecond) {
  b.know(a);
  const Identity identity = Identity::from_private(a.key);
  const Remote remote = Remote::of(identity, b.public_key, Secret());
  Timestamp stamp{};
  int answered = 0;
  for (int i = 0; i < 1000; ++i) {
    stamp = next_timestamp(clock.utc_ms(), stamp);
    InitiationMessage message{};
    ASSERT_TRUE(Initiator::begin(identity, remote, stamp, 1, message));
    CookieHolder(b.public_key).add_macs(message, clock.steady());
    arrive(b, {message.begin(), message.end()}, a.at);
    answered += static_cast<int>(b.wire.size());
    b.wire.clear();
    clock.advance(5ms);
  }
  EXPECT_LE(answered, 251);
  EXPECT_GT(b.drops(Drop::kInitiationFlood), 700U);
}

TEST_F(EngineRekey, AReplayedResponseIsRefused) {
  a.know(b);
  b.know(a);
  send(a, b);
  flow(a, b);
  const Datagram response = b.wire[0].bytes;
  exchange(a, b);
  arrive(a, response, endpoint("203.0.113.9:9"));
  EXPECT_EQ(a.drops(Drop::kUnknownIndex), 1U);
  EXPECT_EQ(a.peer(b).endpoint, b.at);
  expect_connected();
}

TEST_F(EngineRekey, EachTruncationAndEachFlippedBitOfAHandshakeIsDropped) {
  a.know(b);
  b.know(a);
  send(a, b);
  const Datagram initiation = take(a);
  for (std::size_t length = 0; length < initiation.size(); ++length)
    arrive(b, {initiation.begin(), initiation.begin() + static_cast<std::ptrdiff_t>(length)}, a.at);
  EXPECT_EQ(b.drops(Drop::kMalformed), initiation.size());
  Datagram longer = initiation;
  longer.push_back(0);
  arrive(b, longer, a.at);
  EXPECT_EQ(b.drops(Drop::kMalformed), initiation.size() + 1);
  // Flipped in the second MAC nothing is seen: it is not looked at without load.
  for (std::size_t bit = 0; bit < InitiationLayout::kMac2 * 8; ++bit) {
    Datagram changed = initiation;
    changed[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    arrive(b, changed, a.at);
  }
  EXPECT_TRUE(b.wire.empty());
  EXPECT_EQ(b.drops(), initiation.size() + 1 + InitiationLayout::kMac2 * 8);

  arrive(b, initiation, a.at);
  const Datagram response = take(b);
  for (std::size_t length = 0; length < response.size(); ++length)
    arrive(a, {response.begin(), response.begin() + static_cast<std::ptrdiff_t>(length)}, b.at);
  for (std::size_t bit = 0; bit < ResponseLayout::kMac2 * 8; ++bit) {
    Datagram changed = response;
    changed[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    arrive(a, changed, b.at);
  }
  EXPECT_TRUE(a.wire.empty());
  EXPECT_EQ(a.drops(), response.size() + ResponseLayout::kMac2 * 8);
  arrive(a, response, b.at);
  exchange(a, b);
  expect_connected();
}

TEST_F(EngineRekey, AnUnknownPeerIsNotAnswered) {
  a.know(b);
  send(a, b);
  exchange(a, b);
  EXPECT_EQ(b.drops(Drop::kUnknownPeer), 1U);
  EXPECT_FALSE(a.peer(b).has_session);
}

TEST_F(EngineRekey, OfTheResponderUsesNewKeysOnlyOnceTheInitiatorHas) {
  connect(a, b);
  clock.advance(kRekeyAfterTime);
  send(a, b);  // with the old keys, and an initiation
  flow(a, b);
  const std::uint32_t old_index = [&] {
    send(b, a);
    return get_u32(b.wire.back().bytes.data() + TransportLayout::kReceiver);
  }();
  flow(b, a);  // the response: a changes over
  ASSERT_FALSE(a.wire.empty());
  send(b, a);
  EXPECT_EQ(get_u32(b.wire.back().bytes.data() + TransportLayout::kReceiver), old_index);
  exchange(a, b);
  send(b, a);
  EXPECT_NE(get_u32(b.wire.back().bytes.data() + TransportLayout::kReceiver), old_index);
}

TEST_F(EngineRekey, PacketsUnderWayWithTheOldKeysStillArrive) {
  connect(a, b);
  clock.advance(kRekeyAfterTime);
  send(b, a, 10, 1);
  const Datagram from_b = take(b);
  send(a, b, 10, 2);
  std::swap(a.wire[0], a.wire[1]);  // the initiation overtakes
  const Datagram from_a = std::move(a.wire.back().bytes);
  a.wire.pop_back();
  if (type_of(from_a) == MessageType::kInitiation) {
    arrive(b, from_a, a.at);
    exchange(a, b);
  } else {
    exchange(a, b);
    arrive(b, from_a, a.at);
  }
  arrive(a, from_b, b.at);
  EXPECT_GE(b.delivered.size(), 1U);
  EXPECT_EQ(a.delivered.size(), 1U);
}

TEST_F(EngineRekey, IndicesOfEndedSessionsAreUnknown) {
  connect(a, b);
  const auto old = [&] {
    send(a, b);
    return take(a);
  };
  const Datagram under_first = old();
  std::vector<std::uint32_t> indices;
  for (int i = 0; i < 3; ++i) {
    indices.push_back(get_u32(old().data() + TransportLayout::kReceiver));
    clock.advance(kRekeyAfterTime);
    send(a, b);
    exchange(a, b);
  }
  EXPECT_EQ(std::set(indices.begin(), indices.end()).size(), 3U);
  const std::uint64_t before = b.drops(Drop::kUnknownIndex);
  arrive(b, under_first, a.at);
  EXPECT_EQ(b.drops(Drop::kUnknownIndex), before + 1);
}

TEST_F(EngineRekey, APresharedKeyMustBeTheSame) {
  a.know(b);
  b.know(a);
  const Secret psk = Secret::random();
  ASSERT_TRUE(a.engine->set_preshared_key(b.public_key, psk));
  send(a, b);
  exchange(a, b);
  EXPECT_EQ(a.drops(Drop::kForgedHandshake), 1U);
  ASSERT_TRUE(b.engine->set_preshared_key(a.public_key, psk));
  advance({&a, &b}, 6s);
  EXPECT_EQ(b.delivered.size(), 1U);
  expect_connected();
}

TEST_F(EngineRekey, ALostResponseIsMadeUpFor) {
  a.know(b);
  b.know(a);
  send(a, b);
  flow(a, b);
  b.wire.clear();
  // b has a packet too, but sent a response a moment ago: it does not begin at once.
  send(b, a);
  EXPECT_TRUE(b.wire.empty());
  advance({&a, &b}, 11s);
  EXPECT_EQ(a.delivered.size(), 1U);
  EXPECT_EQ(b.delivered.size(), 1U);
}

TEST_F(EngineRekey, ResponderWhosePacketsWaitBeginsItself) {
  a.know(b);
  b.know(a);
  send(a, b);
  flow(a, b);
  b.wire.clear();
  send(b, a);
  a.engine->remove_peer(b.public_key);
  a.know(b);  // a has forgotten that it began
  advance({&b, &a}, 6s);
  EXPECT_EQ(a.delivered.size(), 1U);
}

}  // namespace
}  // namespace icon::tunnel::wg
