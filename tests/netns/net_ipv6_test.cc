// Users with IPv6: the same service, the same moves. The rules carry them in both modes.
#include "tests/netns/net_world.h"

namespace icon::net::test {
namespace {

class NetIpv6 : public World {};
ICON_BOTH_MODES(NetIpv6);

TEST_P(NetIpv6, UsersReachTheServiceAndItSeesThem) {
  start_service(*a_);
  auto tcp = connect_client(a_->at6(8080));
  ASSERT_TRUE(tcp);
  EXPECT_TRUE(tcp->echoes(std::string(100'000, '6')));
  EXPECT_EQ(service_->peers(), std::vector<std::string>{"2001:db8:1::2"}) << "no SNAT";
  EXPECT_TRUE(udp_client(a_->at6(8080))->echoes("datagram"));
  EXPECT_TRUE(connect_client(a_->at(8080))->echoes("and IPv4 beside it"));
  EXPECT_FALSE(connect_client(a_->at6(80))) << "only published ports";
}

TEST_P(NetIpv6, OpenConnectionsSurviveAMoveAndNewOnesFollow) {
  start_service(*a_);
  auto tcp = connect_client(a_->at6(8080));
  auto udp = udp_client(a_->at6(8080));
  ASSERT_TRUE(tcp && tcp->echoes("before") && udp->echoes("before"));
  move(*a_, *b_, {a_.get()}, {}, [&] {
    ASSERT_TRUE(tcp->say("one "));
    ASSERT_TRUE(udp->say("held"));
    EXPECT_TRUE(tcp->silent_for(Millis(30)));
    EXPECT_EQ(state(*a_).hold.packets, 2u);
  });
  EXPECT_EQ(tcp->hear(4), "one ");
  EXPECT_EQ(udp->hear(4), "held");
  EXPECT_TRUE(tcp->echoes(std::string(100'000, 'z')) && udp->echoes("after"));
  auto through_a = connect_client(a_->at6(8080));
  auto direct = connect_client(b_->at6(8080));
  ASSERT_TRUE(through_a && direct);
  EXPECT_TRUE(through_a->echoes("through the stub") && direct->echoes("direct"));
  service_->shout("first");
  for (auto* socket : {&tcp, &through_a, &direct}) EXPECT_EQ((*socket)->hear(5), "first");
}

TEST_P(NetIpv6, AServiceThatSpeaksFirstAndTwoMoves) {
  start_service(*a_);
  auto tcp = connect_client(a_->at6(8080));
  ASSERT_TRUE(tcp && tcp->echoes("before"));
  move(*a_, *b_, {a_.get()}, {});
  service_->shout("news");
  EXPECT_EQ(tcp->hear(4), "news");
  open_tunnel(*a_, *c_);
  move(*b_, *c_, {b_.get(), a_.get()}, {});
  EXPECT_TRUE(tcp->echoes("by way of b"));
  a_->ok([&](Network& n) { return n.repoint(icon_.icon_id, {c_->id(), {}, 0}); }, "repoint");
  EXPECT_TRUE(tcp->echoes("straight"));
  move(*c_, *a_, {c_.get()}, {});
  EXPECT_TRUE(tcp->echoes("home"));
  EXPECT_TRUE(connect_client(a_->at6(8080))->echoes("direct"));
}

TEST_P(NetIpv6, WhatTheIconHadOpenedSurvives) {
  start_service(*a_);
  auto listener = client_->run([] {
    auto socket = std::make_unique<Socket>(SOCK_STREAM, AF_INET6);
    EXPECT_TRUE(socket->bind_to(endpoint("[::]:9000")) && listen(socket->fd(), 1) == 0);
    return socket;
  });
  NetnsThread inside(service_netns_);
  auto outgoing = inside.run([] {
    auto socket = std::make_unique<Socket>(SOCK_STREAM, AF_INET6);
    EXPECT_TRUE(socket->connect_to(endpoint("[2001:db8:1::2]:9000")));
    return socket;
  });
  UniqueFd accepted(accept(listener->fd(), nullptr, nullptr));
  ASSERT_TRUE(accepted);
  const auto works = [&](const std::string& text) {
    char heard[64]{};
    return outgoing->say(text) && recv(accepted.get(), heard, text.size(), MSG_WAITALL) > 0 &&
           text == heard && send(accepted.get(), "ok", 2, 0) == 2 && outgoing->hear(2) == "ok";
  };
  EXPECT_TRUE(works("before"));
  move(*a_, *b_, {a_.get()}, {});
  EXPECT_TRUE(works("after"));
}

// The stub process listens on IPv4 only; who speaks IPv6 follows through the tunnel.
TEST_P(NetIpv6, UnderARedirectingStubUsersFollow) {
  start_service(*a_);
  auto tcp = connect_client(a_->at6(8080));
  ASSERT_TRUE(tcp && tcp->echoes("before"));
  move(*a_, *b_, {a_.get()}, {"", StubMode::kRedirect, 4000});
  EXPECT_TRUE(tcp->echoes("after"));
  auto fresh = connect_client(a_->at6(8080));
  EXPECT_TRUE(fresh && fresh->echoes("follows"));
}

TEST_P(NetIpv6, SpoofedForeignAndUninvitedPacketsAreDropped) {
  start_service(*a_);
  must(service_netns_, "ip addr add 2001:db8:99::1/128 nodad dev eth0");
  EXPECT_FALSE(shell(service_netns_, "ping -c1 -W1 -I 2001:db8:99::1 2001:db8:1::2").ok());
  EXPECT_GE(a_->refused("spoofed"), 1u);
  must(prefix() + "router", "ip route add " + overlay6().to_string() + "/128 via 2001:db8:a::2");
  EXPECT_FALSE(shell(prefix() + "client", "ping -c3 -i0.2 -W1 " + overlay6().to_string()).ok());
  EXPECT_GE(a_->refused("foreign"), 1u);
  open_tunnel(*a_, *b_);
  must(b_->netns(), "ip route add " + overlay6().to_string() + "/128 dev " + tunnel_name(a_->id()));
  EXPECT_FALSE(shell(b_->netns(), "ping -c2 -i0.2 -W1 " + overlay6().to_string()).ok());
  EXPECT_GE(a_->refused("policed"), 2u);
}

TEST_P(NetIpv6, ARestartDisturbsNobodyAndNothingIsLeftAtTheEnd) {
  start_service(*a_);
  auto tcp = connect_client(a_->at6(8080));
  ASSERT_TRUE(tcp && tcp->echoes("before"));
  a_->stop();
  EXPECT_TRUE(tcp->echoes("without a supervisor"));
  a_->start();
  a_->ok([&](Network& n) { return n.attach(icon_); }, "attach again");
  a_->ok([&](Network& n) { return n.prune(); }, "prune");
  EXPECT_TRUE(tcp->echoes("adopted"));
  a_->ok([&](Network& n) { return n.destroy(); }, "destroy");
  EXPECT_EQ(shell(a_->netns(),
                  "nft list tables; ip -6 route show table all proto 73; "
                  "ip -6 rule | grep 4943")
                .output,
            "");
}

}  // namespace
}  // namespace icon::net::test
