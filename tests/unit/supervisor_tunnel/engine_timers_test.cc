// Every timer of the protocol, on a clock that the test moves.
#include "tests/unit/supervisor_tunnel/world.h"

namespace icon::tunnel::wg {
namespace {

using namespace std::chrono_literals;

class EngineTimers : public World {
 protected:
  int count_on_wire(const Node& node, MessageType type) const {
    return static_cast<int>(std::count_if(
        node.wire.begin(), node.wire.end(),
        [&](const OutDatagram& datagram) { return type_of(datagram.bytes) == type; }));
  }
  // The same, but nothing arrives.
  void advance_alone(Node& node, Millis by) { advance({&node}, by, /*is_connected=*/false); }
  int initiations(const Node& node) const { return count_on_wire(node, MessageType::kInitiation); }

  Node a{"10.0.0.1", "192.0.2.1:1000"};
  Node b{"10.0.0.2", "192.0.2.2:2000"};
};

TEST_F(EngineTimers, NothingWaitsAtFirst) {
  EXPECT_EQ(a.engine->deadline(), SteadyTime::max());
  a.know(b);
  EXPECT_EQ(a.engine->deadline(), SteadyTime::max());
  advance_alone(a, 1h);
  EXPECT_TRUE(a.wire.empty());
}

TEST_F(EngineTimers, AnUnansweredInitiationIsRepeatedFor90Seconds) {
  a.know(b);
  send(a, b);
  EXPECT_EQ(initiations(a), 1);
  SteadyTime last = clock.steady();
  const SteadyTime begun = last;
  int tries = 1;
  Datagram previous = take(a);
  while (clock.steady() - begun < 200s) {
    advance_alone(a, 100ms);
    if (a.wire.empty()) continue;
    ASSERT_EQ(initiations(a), 1);
    const auto pause = clock.steady() - last;
    EXPECT_GE(pause, kRekeyTimeout - 100ms);
    EXPECT_LE(pause, kRekeyTimeout + kRekeyJitterMax + 100ms);
    // A fresh ephemeral key and a fresh index for each.
    const Datagram next = take(a);
    EXPECT_NE(get_u32(next.data() + 4), get_u32(previous.data() + 4));
    EXPECT_FALSE(std::equal(next.begin() + 8, next.begin() + 40, previous.begin() + 8));
    previous = next;
    last = clock.steady();
    ++tries;
  }
  EXPECT_GE(last - begun, kRekeyAttemptTime - kRekeyTimeout - kRekeyJitterMax);
  EXPECT_LE(last - begun, kRekeyAttemptTime);
  EXPECT_GE(tries, 17);
  EXPECT_LE(tries, 19);
  EXPECT_EQ(a.drops(Drop::kStageAbandoned), 1U);
  EXPECT_EQ(a.engine->staged_bytes(), 0U);
  // Somebody wants something again.
  send(a, b);
  EXPECT_EQ(initiations(a), 1);
}

TEST_F(EngineTimers, NewPacketsDoNotMakeMoreInitiations) {
  a.know(b);
  for (int i = 0; i < 490; ++i) {
    send(a, b);
    clock.advance(10ms);
  }
  EXPECT_EQ(initiations(a), 1);
  // But they go on for as long as there are packets.
  for (int i = 0; i < 300; ++i) {
    send(a, b);
    advance_alone(a, 1s);
  }
  EXPECT_GE(initiations(a), 50);
  EXPECT_LE(initiations(a), 61);
}

TEST_F(EngineTimers, StagedPacketsAreBoundedAndTheNewestStay) {
  a.know(b);
  b.know(a);
  for (std::size_t i = 0; i < kStagedPacketsMax + 10; ++i)
    send(a, b, 10, static_cast<std::uint8_t>(i));
  EXPECT_EQ(a.drops(Drop::kStageFull), 10U);
  EXPECT_EQ(a.engine->staged_bytes(), kStagedPacketsMax * (kTransportHeaderBytes + 30));
  exchange(a, b);
  ASSERT_EQ(b.delivered.size(), kStagedPacketsMax);
  EXPECT_EQ(b.delivered.front().back(), 10);
  EXPECT_EQ(b.delivered.back().back(), static_cast<std::uint8_t>(kStagedPacketsMax + 9));
  EXPECT_EQ(a.engine->staged_bytes(), 0U);
}

TEST_F(EngineTimers, StagedBytesAreBoundedOverAllPeers) {
  std::vector<std::unique_ptr<Node>> nodes;
  for (int i = 0; i < 40; ++i) {
    nodes.push_back(std::make_unique<Node>("10.0.1." + std::to_string(i), "192.0.2.9:9"));
    a.know(*nodes.back());
    for (int k = 0; k < 100; ++k) send(a, *nodes.back(), 1400);
    ASSERT_LE(a.engine->staged_bytes(), kStagedBytesMax);
  }
  EXPECT_GT(a.drops(Drop::kStageFull), 0U);
  a.engine->remove_all_peers();
  EXPECT_EQ(a.engine->staged_bytes(), 0U);
}

TEST_F(EngineTimers, AKeepaliveAnswersWhenNothingElseDoes) {
  connect(a, b);
  advance_alone(b, kKeepaliveTimeout - 1ms);
  EXPECT_TRUE(b.wire.empty());
  advance_alone(b, 1ms);
  ASSERT_EQ(b.wire.size(), 1U);
  EXPECT_EQ(b.wire[0].bytes.size(), kTransportOverhead);
  // A keepalive is not answered.
  flow(b, a);
  EXPECT_TRUE(a.delivered.empty());
  advance_alone(a, 60s);
  EXPECT_TRUE(a.wire.empty());
}

TEST_F(EngineTimers, AnAnswerMakesTheKeepaliveUnnecessary) {
  connect(a, b);
  advance_alone(b, 5s);
  send(a, b);
  flow(a, b);
  send(b, a);
  ASSERT_EQ(b.wire.size(), 1U);
  flow(b, a);
  advance_alone(b, 14s);
  EXPECT_TRUE(b.wire.empty());
  // Nor is a second one owed for the next data.
  send(a, b);
  flow(a, b);
  advance_alone(b, 60s);
  EXPECT_EQ(b.wire.size(), 1U);
}

TEST_F(EngineTimers, DataDuringTheWaitMakesASecondKeepalive) {
  connect(a, b);
  clock.advance(5s);
  send(a, b);
  flow(a, b);
  advance_alone(b, 5s);
  EXPECT_EQ(b.wire.size(), 1U);
  advance_alone(b, 10s);
  EXPECT_EQ(b.wire.size(), 2U);
  advance_alone(b, 20s);
  EXPECT_EQ(b.wire.size(), 2U);
}

TEST_F(EngineTimers, SilenceAfterDataBeginsAHandshake) {
  connect(a, b);
  send(b, a);
  flow(b, a);
  send(a, b);
  a.wire.clear();  // lost
  advance_alone(a, kKeepaliveTimeout + kRekeyTimeout - 1ms);
  EXPECT_EQ(initiations(a), 0);
  advance_alone(a, kRekeyJitterMax + 1ms);
  EXPECT_EQ(initiations(a), 1);
}

TEST_F(EngineTimers, AnythingAuthenticFromThePeerIsNoSilence) {
  connect(a, b);
  send(a, b);
  flow(a, b);
  advance({&a, &b}, 60s);
  EXPECT_EQ(a.peer(b).statistics.last_handshake_ms, clock.utc_ms() - 60'000);
}

TEST_F(EngineTimers, TheInitiatorReplacesItsKeysAfter120Seconds) {
  connect(a, b);
  clock.advance(kRekeyAfterTime - 1ms);
  send(a, b);
  EXPECT_EQ(initiations(a), 0);
  exchange(a, b);
  send(b, a);
  EXPECT_EQ(initiations(b), 0);
  exchange(a, b);
  clock.advance(1ms);
  // The responder leaves it to the initiator.
  send(b, a);
  EXPECT_EQ(initiations(b), 0);
  exchange(a, b);
  const auto before = a.peer(b).statistics.last_handshake_ms;
  EXPECT_EQ(send(a, b), SealStatus::kSealed);  // still with the old keys: nothing waits
  EXPECT_EQ(initiations(a), 1);
  exchange(a, b);
  EXPECT_GT(a.peer(b).statistics.last_handshake_ms, before);
  EXPECT_EQ(a.peer(b).statistics.last_handshake_ms, b.peer(a).statistics.last_handshake_ms);
}

TEST_F(EngineTimers, WhoOnlyListensRenewsBeforeTheEnd) {
  connect(a, b);  // a began
  clock.advance(kRejectAfterTime - kKeepaliveTimeout - kRekeyTimeout - 1ms);
  send(b, a);
  flow(b, a);
  EXPECT_EQ(initiations(a), 0);
  clock.advance(1ms);
  send(b, a);
  send(b, a);
  flow(b, a);
  EXPECT_EQ(initiations(a), 1);
  a.wire.clear();
  // Once: what is lost is repeated by its own timer.
  clock.advance(1s);
  send(b, a);
  flow(b, a);
  EXPECT_EQ(initiations(a), 0);
}

TEST_F(EngineTimers, KeysAreWipedAfterNineMinutes) {
  connect(a, b);
  exchange(a, b);
  EXPECT_TRUE(a.peer(b).has_session);
  advance_alone(a, kForgetAfterTime - 1ms);
  EXPECT_TRUE(a.peer(b).has_session);
  advance_alone(a, 1ms);
  EXPECT_FALSE(a.peer(b).has_session);
  EXPECT_EQ(a.engine->deadline(), SteadyTime::max());
}

TEST_F(EngineTimers, PersistentKeepaliveBeginsAtOnceAndGoesOn) {
  a.know(b);
  b.know(a, /*with_endpoint=*/false);
  a.engine->needs_tick();
  EXPECT_FALSE(a.engine->needs_tick());
  ASSERT_TRUE(a.engine->set_persistent_keepalive(b.public_key, 25s, now()));
  EXPECT_TRUE(a.engine->needs_tick());
  EXPECT_FALSE(a.engine->needs_tick());
  advance_alone(a, 0ms);
  EXPECT_EQ(initiations(a), 1);
  exchange(a, b);
  EXPECT_TRUE(a.peer(b).has_session);
  for (int i = 0; i < 2; ++i) {
    advance_alone(a, 25s - 1ms);
    EXPECT_TRUE(a.wire.empty());
    advance_alone(a, 1ms);
    ASSERT_EQ(a.wire.size(), 1U);
    EXPECT_EQ(a.wire[0].bytes.size(), kTransportOverhead);
    flow(a, b);
  }
  // Any other packet moves it.
  advance_alone(a, 20s);
  send(b, a);
  flow(b, a);
  advance_alone(a, 9s);
  EXPECT_TRUE(a.wire.empty());
  ASSERT_TRUE(a.engine->set_persistent_keepalive(b.public_key, 0s, now()));
  a.wire.clear();
  advance_alone(a, 60s);
  EXPECT_LE(a.wire.size(), 1U);  // the answer to b's data
}

TEST_F(EngineTimers, PersistentKeepaliveOutlivesSessionsAndLosses) {
  a.know(b);
  b.know(a);
  ASSERT_TRUE(a.engine->set_persistent_keepalive(b.public_key, 25s, now()));
  advance({&a, &b}, 10min);
  EXPECT_LE(clock.utc_ms() - a.peer(b).statistics.last_handshake_ms, 150'000);
  // The peer is away for an hour.
  advance_alone(a, 1h);
  a.wire.clear();
  advance({&a, &b}, 2min);
  EXPECT_LE(clock.utc_ms() - a.peer(b).statistics.last_handshake_ms, 120'000);
}

TEST_F(EngineTimers, PersistentKeepaliveWaitsForAnEndpoint) {
  a.know(b, /*with_endpoint=*/false);
  b.know(a);
  ASSERT_TRUE(a.engine->set_persistent_keepalive(b.public_key, 5s, now()));
  advance_alone(a, 1min);
  EXPECT_TRUE(a.wire.empty());
  ASSERT_TRUE(a.engine->set_endpoint(b.public_key, b.at));
  advance_alone(a, 5s);
  EXPECT_EQ(initiations(a), 1);
}

TEST_F(EngineTimers, ConnectBeginsAHandshake) {
  a.know(b);
  b.know(a);
  ASSERT_TRUE(a.engine->connect(b.public_key, now()));
  EXPECT_TRUE(a.engine->needs_tick());
  advance_alone(a, 0ms);
  EXPECT_EQ(initiations(a), 1);
  exchange(a, b);
  ASSERT_TRUE(a.engine->connect(b.public_key, now()));
  advance_alone(a, 1s);
  EXPECT_TRUE(a.wire.empty());
}

TEST_F(EngineTimers, WakesTheOtherThreadOnlyWhenADeadlineCameForward) {
  connect(a, b);
  a.engine->deadline();
  a.wakes = 0;
  // Data in one direction: the timer against silence runs once.
  for (int i = 0; i < 100; ++i) send(a, b);
  EXPECT_LE(a.wakes, 1U);
  a.wire.clear();
  EXPECT_LE(a.engine->deadline(),
            clock.steady() + kKeepaliveTimeout + kRekeyTimeout + kRekeyJitterMax);
  a.wakes = 0;
  for (int i = 0; i < 100; ++i) send(a, b);
  EXPECT_EQ(a.wakes, 0U);
}

TEST_F(EngineTimers, AnHourOfTalkNeedsFewTicksAndStaysConnected) {
  connect(a, b);
  for (int second = 0; second < 3600; ++second) {
    advance({&a, &b}, 1s);
    EXPECT_EQ(send(a, b, 100), SealStatus::kSealed) << second;
    if (second % 7 == 0) send(b, a, 100);
    exchange(a, b);
  }
  EXPECT_EQ(b.delivered.size(), 3600U);
  EXPECT_EQ(a.drops() + b.drops(), 0U);
}

}  // namespace
}  // namespace icon::tunnel::wg
