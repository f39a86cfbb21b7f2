// A move as the users and the ICON see it: open connections survive, nothing is lost in the gap,
// replies go home, chains do not grow.
#include <cerrno>
#include <cstring>

#include "tests/netns/net_world.h"

namespace icon::net::test {
namespace {

class NetMove : public World {};
ICON_BOTH_MODES(NetMove);

TEST_P(NetMove, AnOpenConnectionSurvivesAndNothingIsLost) {
  start_service(*a_);
  auto tcp = connect_client(a_->at(8080));
  auto udp = udp_client(a_->at(8080));
  ASSERT_TRUE(tcp && tcp->echoes("before") && udp->echoes("before"));
  move(*a_, *b_, {a_.get()}, {}, [&] {
    ASSERT_TRUE(tcp->say("one "));
    ASSERT_TRUE(udp->say("held"));
    EXPECT_TRUE(tcp->silent_for(Millis(30)));
    EXPECT_GE(state(*a_).hold.packets, 2u);  // more when a busy machine lets TCP say it again
  });
  EXPECT_EQ(tcp->hear(4), "one ");
  EXPECT_EQ(udp->hear(4), "held");
  EXPECT_TRUE(tcp->echoes(std::string(100'000, 'z')));
  EXPECT_TRUE(udp->echoes("after"));
  EXPECT_FALSE(state(*a_).attached);
  EXPECT_EQ(state(*a_).stub_peer, b_->id());
}

TEST_P(NetMove, NoHeldPacketIsRetransmitted) {
  constexpr Millis kBelowTheFirstTimeout{150};
  start_service(*a_);
  auto tcp = connect_client(a_->at(8080));
  ASSERT_TRUE(tcp && tcp->echoes("before"));
  std::chrono::steady_clock::time_point said;
  move(*a_, *b_, {a_.get()}, {}, [&] {
    said = std::chrono::steady_clock::now();
    ASSERT_TRUE(tcp->say("question"));
  });
  EXPECT_EQ(tcp->hear(8), "question");
  // A machine so busy that the move itself took longer than TCP waits proves nothing either way.
  if (std::chrono::steady_clock::now() - said > kBelowTheFirstTimeout) return;
  const auto counters = shell(prefix() + "client", "nstat -asz TcpRetransSegs | grep Retrans");
  EXPECT_NE(counters.output.find(" 0 "), std::string::npos) << counters.output;
}

TEST_P(NetMove, AServiceThatSpeaksFirstIsHeardThroughTheOldHost) {
  start_service(*a_);
  auto tcp = connect_client(a_->at(8080));
  ASSERT_TRUE(tcp && tcp->echoes("before"));
  move(*a_, *b_, {a_.get()}, {});
  // Host b has not seen one packet of this connection.
  service_->shout("news");
  EXPECT_EQ(tcp->hear(4), "news");
  EXPECT_TRUE(tcp->echoes("after"));
}

// A FIN is the first that host b sees of the connection.
TEST_P(NetMove, AServiceThatEndsAnIdleConnectionIsHeard) {
  start_service(*a_);
  auto tcp = connect_client(a_->at(8080));
  ASSERT_TRUE(tcp && tcp->echoes("before"));
  move(*a_, *b_, {a_.get()}, {});
  service_.reset();
  char byte = 0;
  EXPECT_EQ(recv(tcp->fd(), &byte, 1, 0), 0) << strerror(errno);
}

TEST_P(NetMove, WhatTheIconHadOpenedSurvives) {
  start_service(*a_);
  // The client listens; the ICON connects outwards, masqueraded by host a.
  auto listener = client_->run([] {
    auto socket = std::make_unique<Socket>(SOCK_STREAM);
    EXPECT_TRUE(socket->bind_to(endpoint("0.0.0.0:9000")) && listen(socket->fd(), 1) == 0);
    return socket;
  });
  NetnsThread inside(service_netns_);
  auto outgoing = inside.run([] {
    auto socket = std::make_unique<Socket>(SOCK_STREAM);
    EXPECT_TRUE(socket->connect_to(endpoint("198.51.100.2:9000")));
    return socket;
  });
  UniqueFd accepted(accept(listener->fd(), nullptr, nullptr));
  ASSERT_TRUE(accepted);
  const auto say_and_hear = [&](const std::string& text) {
    char heard[64]{};
    return outgoing->say(text) && recv(accepted.get(), heard, text.size(), MSG_WAITALL) > 0 &&
           text == heard && send(accepted.get(), "ok", 2, 0) == 2 && outgoing->hear(2) == "ok";
  };
  EXPECT_TRUE(say_and_hear("before"));
  move(*a_, *b_, {a_.get()}, {});
  EXPECT_TRUE(say_and_hear("after"));
  move(*b_, *c_, {b_.get()}, {});
  EXPECT_TRUE(say_and_hear("far away"));
}

TEST_P(NetMove, NewConnectionsFollowOrGoDirect) {
  start_service(*a_);
  move(*a_, *b_, {a_.get()}, {});
  auto through_a = connect_client(a_->at(8080));
  auto direct = connect_client(b_->at(8080));
  ASSERT_TRUE(through_a && direct);
  EXPECT_TRUE(through_a->echoes("through the stub"));
  EXPECT_TRUE(direct->echoes("direct"));
  EXPECT_EQ(service_->peers(), (std::vector<std::string>{"198.51.100.2", "198.51.100.2"}));
}

TEST_P(NetMove, ARedirectingStubGetsNewConnectionsOnly) {
  start_service(*a_);
  auto tcp = connect_client(a_->at(8080));
  auto udp = udp_client(a_->at(8080));
  ASSERT_TRUE(tcp && tcp->echoes("before"));
  auto stub = a_->thread().run([] {
    auto socket = std::make_unique<Socket>(SOCK_STREAM);
    EXPECT_TRUE(socket->bind_to(endpoint("0.0.0.0:4000")) && listen(socket->fd(), 8) == 0);
    return socket;
  });
  move(*a_, *b_, {a_.get()}, {"", StubMode::kRedirect, 4000});
  EXPECT_TRUE(tcp->echoes("open connections follow"));
  EXPECT_TRUE(udp->echoes("datagrams too"));
  auto fresh = connect_client(a_->at(8080));
  ASSERT_TRUE(fresh);
  UniqueFd accepted(accept(stub->fd(), nullptr, nullptr));
  ASSERT_TRUE(accepted);
  ASSERT_EQ(send(accepted.get(), "moved", 5, 0), 5);
  EXPECT_EQ(fresh->hear(5), "moved");
}

// The same source port towards both hosts is one tuple at the ICON.
TEST_P(NetMove, TheSameClientPortAtBothHostsIsTwoConnections) {
  start_service(*a_);
  auto old_one = connect_client(a_->at(8080), 40'000);
  ASSERT_TRUE(old_one && old_one->echoes("before"));
  move(*a_, *b_, {a_.get()}, {});
  ASSERT_TRUE(old_one->echoes("after"));
  auto new_one = connect_client(b_->at(8080), 40'000);
  ASSERT_TRUE(new_one);
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(new_one->echoes("new " + std::to_string(i)));
    EXPECT_TRUE(old_one->echoes("old " + std::to_string(i)));
  }
}

TEST_P(NetMove, RollbackGivesEverythingBackInOrder) {
  start_service(*a_);
  auto udp = udp_client(a_->at(8080));
  auto tcp = connect_client(a_->at(8080));
  ASSERT_TRUE(tcp && udp->echoes("before") && tcp->echoes("before"));
  open_tunnel(*a_, *b_);
  a_->ok([&](Network& n) { return n.prepare_hold(icon_.icon_id); }, "prepare_hold");
  b_->ok([&](Network& n) { return n.attach_held(icon_at({a_.get()})); }, "attach_held");
  a_->ok([&](Network& n) { return n.hold(icon_.icon_id); }, "hold");
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(udp->say("n" + std::to_string(1000 + i)));
  ASSERT_TRUE(tcp->say("held"));
  EXPECT_TRUE(tcp->silent_for(Millis(30)));
  a_->ok([&](Network& n) { return n.unhold(icon_.icon_id); }, "unhold");
  b_->ok([&](Network& n) { return n.detach(icon_.icon_id); }, "abort");
  for (int i = 0; i < 200; ++i) ASSERT_EQ(udp->hear(5), "n" + std::to_string(1000 + i));
  EXPECT_EQ(tcp->hear(4), "held");
  EXPECT_TRUE(tcp->echoes("after"));
  EXPECT_GE(state(*a_).hold.released_packets, 201u);  // more when TCP said it again meanwhile
  EXPECT_EQ(state(*b_).icon_id, "");
  EXPECT_EQ(shell(b_->netns(), "ip -o link | grep -cE ' i[vh]'").output, "0\n");
}

TEST_P(NetMove, TheQueueHasALimit) {
  a_->stop();
  Host::limits = {.packets_max = 10, .bytes_max = 1 << 20};
  a_->start();
  Host::limits = {};
  start_service(*a_);
  auto udp = udp_client(a_->at(8080));
  a_->ok([&](Network& n) { return n.hold(icon_.icon_id); }, "hold");
  for (int i = 0; i < 25; ++i) ASSERT_TRUE(udp->say("n" + std::to_string(i)));
  EXPECT_TRUE(udp->silent_for(Millis(30)));
  EXPECT_EQ(state(*a_).hold.packets, 10u);
  EXPECT_EQ(state(*a_).hold.dropped_packets, 15u);
  a_->ok([&](Network& n) { return n.unhold(icon_.icon_id); }, "unhold");
  for (int i = 0; i < 10; ++i) EXPECT_EQ(udp->hear(2), "n" + std::to_string(i));
}

TEST_P(NetMove, NothingPassesWhileHeld) {
  start_service(*a_);
  auto tcp = connect_client(a_->at(8080));
  ASSERT_TRUE(tcp && tcp->echoes("before"));
  open_tunnel(*a_, *b_);
  b_->ok([&](Network& n) { return n.attach_held(icon_at({a_.get()})); }, "attach_held");
  EXPECT_FALSE(shell(netns_of(*b_), "ping -c1 -W1 198.51.100.2").ok()) << "nothing leaves b";
  // Nothing arrives at b, neither by its public port nor from its own processes.
  EXPECT_FALSE(shell(b_->netns(), "ping -c1 -W1 " + icon_.overlay.to_string()).ok());
  client_->run([&] {
    Socket probe(SOCK_STREAM);
    EXPECT_FALSE(probe.connect_to(b_->at(8080)));
  });
  a_->ok([&](Network& n) { return n.hold(icon_.icon_id); }, "hold");
  service_->shout("must not be heard");
  EXPECT_TRUE(tcp->silent_for(Millis(30)));
  EXPECT_GE(a_->refused("muted"), 1u);
  a_->ok([&](Network& n) { return n.unhold(icon_.icon_id); }, "unhold");
  EXPECT_EQ(tcp->hear(17), "must not be heard") << "after the rollback TCP repeats it";
}

// The destination is released before the source has heard of it: what the copy says at once (an
// answer that was in its write queue at the freeze) must not be lost.
TEST_P(NetMove, TheCopyIsHeardBeforeTheSourceDiverts) {
  start_service(*a_);
  auto tcp = connect_client(a_->at(8080));
  ASSERT_TRUE(tcp && tcp->echoes("before"));
  open_tunnel(*a_, *b_);
  b_->ok([&](Network& n) { return n.attach_held(icon_at({a_.get()})); }, "attach_held");
  EXPECT_FALSE(a_->call([&](Network& n) { return n.expect_from(icon_.icon_id, b_->id()); }))
      << "nobody but the ICON here speaks for it";
  a_->ok([&](Network& n) { return n.hold(icon_.icon_id); }, "hold");
  a_->ok([&](Network& n) { return n.expect_from(icon_.icon_id, b_->id()); }, "expect_from");
  replug(*b_);
  b_->ok([&](Network& n) { return n.release(icon_.icon_id); }, "release");
  service_->shout("news");
  EXPECT_EQ(tcp->hear(4), "news");
  a_->ok([&](Network& n) { return n.divert(icon_.icon_id, {b_->id(), {}, 0}); }, "divert");
  EXPECT_TRUE(tcp->echoes("after"));
}

// The source may divert before the destination is released: what comes meanwhile waits there.
TEST_P(NetMove, TheDestinationQueuesUntilItIsReleased) {
  start_service(*a_);
  auto tcp = connect_client(a_->at(8080));
  ASSERT_TRUE(tcp && tcp->echoes("before"));
  open_tunnel(*a_, *b_);
  b_->ok([&](Network& n) { return n.attach_held(icon_at({a_.get()})); }, "attach_held");
  a_->ok([&](Network& n) { return n.hold(icon_.icon_id); }, "hold");
  ASSERT_TRUE(tcp->say("early"));
  replug(*b_);
  a_->ok([&](Network& n) { return n.divert(icon_.icon_id, {b_->id(), {}, 0}); }, "divert");
  EXPECT_TRUE(tcp->silent_for(Millis(50)));
  EXPECT_GE(state(*b_).hold.packets, 1u);
  b_->ok([&](Network& n) { return n.release(icon_.icon_id); }, "release");
  EXPECT_EQ(tcp->hear(5), "early");
  EXPECT_TRUE(tcp->echoes("after"));
}

TEST_P(NetMove, ASecondMovePointsTheFirstStubStraightAtTheNewestHost) {
  start_service(*a_);
  auto at_a = connect_client(a_->at(8080));
  ASSERT_TRUE(at_a && at_a->echoes("at a"));
  move(*a_, *b_, {a_.get()}, {});
  auto at_b = connect_client(b_->at(8080));
  ASSERT_TRUE(at_a->echoes("at b") && at_b && at_b->echoes("at b"));
  open_tunnel(*a_, *c_);
  move(*b_, *c_, {b_.get(), a_.get()}, {});
  // First by way of b, in both directions.
  EXPECT_TRUE(at_a->echoes("by way of b"));
  EXPECT_TRUE(at_b->echoes("one step"));
  service_->shout("news");
  EXPECT_EQ(at_a->hear(4), "news");
  EXPECT_EQ(at_b->hear(4), "news");
  // Then straight: b takes no further part.
  a_->ok([&](Network& n) { return n.repoint(icon_.icon_id, {c_->id(), {}, 0}); }, "repoint");
  EXPECT_TRUE(at_a->echoes("straight"));
  c_->ok([&](Network& n) { return n.deny_stub_host(icon_.icon_id, b_->id()); }, "deny b");
  b_->ok([&](Network& n) { return n.remove_stub(icon_.icon_id); }, "remove stub of b");
  b_->ok([&](Network& n) { return n.close_tunnel(c_->id()); }, "close b-c");
  EXPECT_TRUE(at_a->echoes("without b"));
  service_->shout("more");
  EXPECT_EQ(at_a->hear(4), "more");
}

// A connection that was idle from a to c: c has never seen it and asks b, and b knows.
TEST_P(NetMove, TheHostInTheMiddlePassesOnWhatBelongsToTheFirst) {
  start_service(*a_);
  auto tcp = connect_client(a_->at(8080));
  ASSERT_TRUE(tcp && tcp->echoes("at a"));
  move(*a_, *b_, {a_.get()}, {});
  move(*b_, *c_, {b_.get()}, {});
  service_->shout("through two hosts");
  EXPECT_EQ(tcp->hear(17), "through two hosts");
  EXPECT_TRUE(tcp->echoes("and back"));
}

TEST_P(NetMove, AnIconMayComeHome) {
  start_service(*a_);
  auto at_a = connect_client(a_->at(8080));
  ASSERT_TRUE(at_a && at_a->echoes("one"));
  move(*a_, *b_, {a_.get()}, {});
  auto at_b = connect_client(b_->at(8080));
  ASSERT_TRUE(at_b && at_a->echoes("two") && at_b->echoes("two"));
  move(*b_, *a_, {b_.get()}, {});
  EXPECT_TRUE(at_a->echoes("three"));
  EXPECT_TRUE(at_b->echoes("three"));
  EXPECT_TRUE(connect_client(a_->at(8080))->echoes("direct"));
  EXPECT_TRUE(connect_client(b_->at(8080))->echoes("by the stub"));
  EXPECT_EQ(state(*a_).stub_peer, "");
}

// What users say during the last move goes from a to c, and from c back to a: still their own.
TEST_P(NetMove, WhatIsUnderWayWhenAnIconComesHomeIsNotTakenForSomethingNew) {
  start_service(*a_);
  auto tcp = connect_client(a_->at(8080));
  auto udp = udp_client(a_->at(8080));
  ASSERT_TRUE(tcp && tcp->echoes("at a") && udp->echoes("at a"));
  move(*a_, *b_, {a_.get()}, {});
  open_tunnel(*a_, *c_);
  move(*b_, *c_, {b_.get(), a_.get()}, {});
  a_->ok([&](Network& n) { return n.repoint(icon_.icon_id, {c_->id(), {}, 0}); }, "repoint");
  ASSERT_TRUE(tcp->echoes("at c") && udp->echoes("at c"));
  auto at_c = connect_client(c_->at(8080));
  ASSERT_TRUE(at_c && at_c->echoes("at c"));
  move(*c_, *a_, {c_.get()}, {}, [&] {
    ASSERT_TRUE(tcp->say("held") && udp->say("held") && at_c->say("held"));
    EXPECT_TRUE(tcp->silent_for(Millis(30)));
  });
  EXPECT_EQ(tcp->hear(4), "held");
  EXPECT_EQ(udp->hear(4), "held");
  EXPECT_EQ(at_c->hear(4), "held");
  settle(*a_);
  for (auto* socket : {&tcp, &udp, &at_c}) EXPECT_TRUE((*socket)->echoes("home"));
}

TEST_P(NetMove, ATunnelDeliversOnlyWhatItsPeerHasAStubFor) {
  start_service(*a_);
  open_tunnel(*a_, *b_);
  // Host b, a stranger with a tunnel, sends to an ICON of a, and to a itself.
  const std::string tunnel = tunnel_name(a_->id());
  must(b_->netns(), "ip route add " + icon_.overlay.to_string() + "/32 dev " + tunnel);
  EXPECT_FALSE(shell(b_->netns(), "ping -c2 -i0.2 -W1 " + icon_.overlay.to_string()).ok());
  EXPECT_GE(a_->refused("policed"), 2u);
  EXPECT_FALSE(shell(b_->netns(), "ping -c2 -i0.2 -W1 -I " + tunnel + " 192.0.2.2").ok());
  EXPECT_GE(a_->refused("policed"), 4u);
}

// A stub's host is no way out for what the ICON's new host sends in its name.
TEST_P(NetMove, AStubOpensNoConnectionsForItsPeer) {
  start_service(*a_);
  auto tcp = connect_client(a_->at(8080));
  ASSERT_TRUE(tcp && tcp->echoes("before"));
  move(*a_, *b_, {a_.get()}, {});
  ASSERT_TRUE(tcp->echoes("after"));
  const std::string tunnel = tunnel_name(a_->id());
  // Host b sends as the ICON, a first packet of TCP, UDP and ICMP.
  must(b_->netns(), "ip addr add " + icon_.overlay.to_string() + "/32 dev lo");
  const std::string from = icon_.overlay.to_string();
  shell(b_->netns(), "ping -c1 -W1 -I " + tunnel + " -I " + from + " 198.51.100.2");
  shell(b_->netns(),
        "echo x | socat -u - UDP:198.51.100.2:9,bind=" + from + ",so-bindtodevice=" + tunnel);
  shell(b_->netns(), "socat -u /dev/null TCP:198.51.100.2:9,connect-timeout=0.2,bind=" + from +
                         ",so-bindtodevice=" + tunnel);
  EXPECT_GE(a_->refused("unknown"), 3u);
}

TEST_P(NetMove, AStubEnds) {
  start_service(*a_);
  move(*a_, *b_, {a_.get()}, {});
  auto direct = connect_client(b_->at(8080));
  ASSERT_TRUE(direct && connect_client(a_->at(8080)));
  auto busy = a_->call([&](Network& n) { return n.close_tunnel(b_->id()); });
  ASSERT_FALSE(busy);
  EXPECT_EQ(busy.error().code, Code::kConflict);
  a_->ok([&](Network& n) { return n.remove_stub(icon_.icon_id); }, "remove_stub");
  a_->ok([&](Network& n) { return n.close_tunnel(b_->id()); }, "close_tunnel");
  EXPECT_FALSE(connect_client(a_->at(8080)));
  EXPECT_TRUE(direct->echoes("unharmed"));
  EXPECT_EQ(shell(a_->netns(), "ip -o link | grep -cE ' i[vht]'").output, "0\n");
  EXPECT_EQ(shell(a_->netns(), "ip route show table all proto 73").output, "");
}

}  // namespace
}  // namespace icon::net::test
