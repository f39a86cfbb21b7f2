// What whoever configures a tunnel may do to it, also while it works.
#include "tests/unit/supervisor_tunnel/world.h"

namespace icon::tunnel::wg {
namespace {

using namespace std::chrono_literals;

class EngineConfig : public World {
 protected:
  Node a{"10.0.0.1", "192.0.2.1:1000"};
  Node b{"10.0.0.2", "192.0.2.2:2000"};
};

TEST_F(EngineConfig, TellsWhatItWasTold) {
  const Key key = public_key_of(Secret::random());
  const Secret psk = Secret::random();
  ASSERT_TRUE(a.engine->add_peer(key));
  ASSERT_TRUE(a.engine->add_peer(key));
  ASSERT_TRUE(a.engine->set_preshared_key(key, psk));
  ASSERT_TRUE(a.engine->set_endpoint(key, endpoint("[2001:db8::1]:7")));
  ASSERT_TRUE(a.engine->set_persistent_keepalive(key, 17s, now()));
  ASSERT_TRUE(a.engine->add_allowed_ip(key, prefix("10.8.0.0/16")));
  ASSERT_TRUE(a.engine->add_allowed_ip(key, prefix("::/0")));
  const auto peers = a.engine->peers();
  ASSERT_EQ(peers.size(), 1U);
  EXPECT_EQ(peers[0].public_key, key);
  EXPECT_TRUE(peers[0].preshared_key.equals(psk));
  EXPECT_EQ(peers[0].endpoint, endpoint("[2001:db8::1]:7"));
  EXPECT_EQ(peers[0].persistent_keepalive, 17s);
  EXPECT_EQ(peers[0].allowed_ips, (std::vector{prefix("10.8.0.0/16"), prefix("::/0")}));
  EXPECT_FALSE(peers[0].has_session);
  EXPECT_EQ(peers[0].statistics.last_handshake_ms, 0);
  EXPECT_EQ(a.engine->public_key(), a.public_key);
  EXPECT_TRUE(a.engine->private_key().equals(a.key));
}

TEST_F(EngineConfig, NamesPeersThatDoNotExist) {
  const Key key = b.public_key;
  EXPECT_EQ(a.engine->set_preshared_key(key, Secret()).error().code, Code::kNotFound);
  EXPECT_EQ(a.engine->set_endpoint(key, b.at).error().code, Code::kNotFound);
  EXPECT_EQ(a.engine->set_persistent_keepalive(key, 1s, now()).error().code, Code::kNotFound);
  EXPECT_EQ(a.engine->add_allowed_ip(key, prefix("::/0")).error().code, Code::kNotFound);
  EXPECT_EQ(a.engine->remove_allowed_ip(key, prefix("::/0")).error().code, Code::kNotFound);
  EXPECT_EQ(a.engine->clear_allowed_ips(key).error().code, Code::kNotFound);
  EXPECT_EQ(a.engine->connect(key, now()).error().code, Code::kNotFound);
  EXPECT_FALSE(a.engine->remove_peer(key));
  EXPECT_FALSE(a.engine->has_peer(key));
  a.know(b);
  EXPECT_TRUE(a.engine->has_peer(key));
  EXPECT_EQ(a.engine->remove_allowed_ip(key, prefix("::/0")).error().code, Code::kNotFound);
}

TEST_F(EngineConfig, IsNotItsOwnPeer) {
  EXPECT_EQ(a.engine->add_peer(a.public_key).error().code, Code::kInvalid);
  a.know(b);
  a.engine->set_private_key(b.key);
  EXPECT_FALSE(a.engine->has_peer(b.public_key));
}

TEST_F(EngineConfig, ARemovedPeerIsGone) {
  connect(a, b);
  send(a, b);
  const Datagram under_way = take(a);
  EXPECT_TRUE(b.engine->remove_peer(a.public_key));
  arrive(b, under_way, a.at);
  EXPECT_TRUE(b.delivered.empty());
  EXPECT_EQ(b.drops(Drop::kUnknownIndex), 1U);
  EXPECT_TRUE(b.engine->peers().empty());
  EXPECT_EQ(send(b, a), SealStatus::kDropped);
  EXPECT_EQ(b.engine->deadline(), SteadyTime::max());
  advance({&b}, 10min, false);
  EXPECT_TRUE(b.wire.empty());
  // And may come again: the place is used anew.
  b.know(a);
  EXPECT_EQ(b.peer(a).id, 0U);
  advance({&a, &b}, 1min);
  send(b, a);
  exchange(a, b);
  EXPECT_EQ(a.delivered.size(), 1U);
}

TEST_F(EngineConfig, APeerRemovedDuringItsHandshakeIsNotRevived) {
  a.know(b);
  b.know(a);
  send(a, b);
  flow(a, b);
  a.engine->remove_peer(b.public_key);
  flow(b, a);
  EXPECT_TRUE(a.wire.empty());
  EXPECT_EQ(a.drops(Drop::kUnknownIndex), 1U);
}

TEST_F(EngineConfig, ANewPrivateKeyEndsSessions) {
  connect(a, b);
  const Secret fresh = Secret::random();
  a.engine->set_private_key(fresh);
  EXPECT_FALSE(a.peer(b).has_session);
  send(b, a);
  flow(b, a);
  EXPECT_EQ(a.drops(Drop::kUnknownIndex), 1U);
  clock.advance(6s);
  EXPECT_EQ(send(a, b), SealStatus::kStaged);
  exchange(a, b);
  EXPECT_EQ(b.drops(Drop::kUnknownPeer), 1U);
  a.public_key = public_key_of(fresh);
  b.know(a);
  ASSERT_TRUE(b.engine->add_allowed_ip(a.public_key, Prefix::of(a.inner, 32)));
  advance({&a, &b}, 6s);
  EXPECT_EQ(b.delivered.size(), 1U);
}

TEST_F(EngineConfig, TheSamePrivateKeyChangesNothing) {
  connect(a, b);
  a.engine->set_private_key(a.key);
  EXPECT_EQ(send(a, b), SealStatus::kSealed);
}

TEST_F(EngineConfig, WithoutAPrivateKeyItIsSilent) {
  a.know(b);
  b.know(a);
  b.engine->set_private_key(Secret());
  send(a, b);
  exchange(a, b);
  EXPECT_EQ(b.drops(Drop::kNoKey), 1U);
  EXPECT_EQ(b.engine->public_key(), Key{});
}

TEST_F(EngineConfig, AllowedIpsDecideBothWays) {
  connect(a, b);
  ASSERT_TRUE(b.engine->clear_allowed_ips(a.public_key));
  send(a, b);
  flow(a, b);
  EXPECT_EQ(b.drops(Drop::kSource), 1U);
  EXPECT_EQ(send(b, a), SealStatus::kDropped);
  ASSERT_TRUE(b.engine->add_allowed_ip(a.public_key, prefix("0.0.0.0/0")));
  EXPECT_EQ(send(b, a), SealStatus::kSealed);
  // Another peer takes a part of it.
  Node c("10.0.0.3", "192.0.2.3:3000");
  b.know(c);
  ASSERT_TRUE(b.engine->add_allowed_ip(c.public_key, prefix("10.0.0.1/32")));
  send(a, b);
  flow(a, b);
  EXPECT_EQ(b.drops(Drop::kSource), 2U);
}

TEST_F(EngineConfig, SmallOrderPeersAreHarmless) {
  Key zero{};
  ASSERT_TRUE(a.engine->add_peer(zero));
  ASSERT_TRUE(a.engine->set_endpoint(zero, b.at));
  ASSERT_TRUE(a.engine->add_allowed_ip(zero, prefix("0.0.0.0/0")));
  EXPECT_EQ(send(a, b), SealStatus::kStaged);
  advance({&a}, 10min, false);
  EXPECT_TRUE(a.wire.empty());
}

TEST_F(EngineConfig, AThousandPeersTalk) {
  // A hub and its spokes; each lookup finds the right one.
  std::vector<std::unique_ptr<Node>> spokes;
  for (int i = 0; i < 1000; ++i) {
    const std::string number = std::to_string(i / 250) + "." + std::to_string(i % 250);
    spokes.push_back(std::make_unique<Node>("10.1." + number, "198.51." + number + ":51820",
                                            EngineOptions{.aead = AeadBackend::kSodium}));
    a.know(*spokes.back(), /*with_endpoint=*/false);
    spokes.back()->know(a);
    send(*spokes.back(), a, 20, 1);
    exchange(*spokes.back(), a);
    clock.advance(10ms);
  }
  EXPECT_EQ(a.delivered.size(), 1000U);
  for (auto& spoke : spokes) {
    ASSERT_EQ(send(a, *spoke, 20, 2), SealStatus::kSealed);
    ASSERT_EQ(a.wire.front().endpoint, spoke->at);
    flow(a, *spoke);
    ASSERT_EQ(spoke->delivered.size(), 1U);
  }
  EXPECT_EQ(a.drops(), 0U);
  a.engine->remove_all_peers();
  EXPECT_TRUE(a.engine->peers().empty());
}

}  // namespace
}  // namespace icon::tunnel::wg
