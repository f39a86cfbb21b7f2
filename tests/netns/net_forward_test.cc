// Who carries which packet, and that nobody notices: the fast path and the rules side by side.
#include "tests/netns/net_world.h"

namespace icon::net::test {
namespace {

class NetForward : public World {
 protected:
  // Whether connection tracking of `host` knows the client's connection.
  static bool tracked(Host& host, std::uint16_t client_port) {
    return shell(host.netns(),
                 "conntrack -L 2>/dev/null | grep -c 'sport=" + std::to_string(client_port) + " '")
               .output != "0\n";
  }
  void restart(Host& host, Forwarding mode, const std::function<void()>& claim) {
    host.stop();
    Host::forwarding = mode;
    host.start();
    Host::forwarding = GetParam();
    claim();
    host.ok([](Network& n) { return n.prune(); }, "prune");
  }
  static Forwarding other(Forwarding mode) {
    return mode == Forwarding::kBpf ? Forwarding::kNftables : Forwarding::kBpf;
  }
};
ICON_BOTH_MODES(NetForward);

TEST_P(NetForward, TheConfiguredOneCarriesBothDirections) {
  start_service(*a_);
  auto tcp = connect_client(a_->at(8080));
  ASSERT_TRUE(tcp && tcp->echoes(std::string(50'000, 'x')));
  EXPECT_EQ(tracked(*a_, tcp->local_port()), !fast());
  move(*a_, *b_, {a_.get()}, {});
  auto by_stub = connect_client(a_->at(8080));
  ASSERT_TRUE(by_stub && by_stub->echoes(std::string(50'000, 'y')));
  EXPECT_EQ(tracked(*a_, by_stub->local_port()), !fast());
  EXPECT_EQ(tracked(*b_, by_stub->local_port()), !fast());
  EXPECT_EQ(fast_packets(*a_) > 40, fast());
  EXPECT_EQ(fast_packets(*b_) > 20, fast());
}

TEST_P(NetForward, ARestartKeepsWhatItCarries) {
  start_service(*a_);
  auto tcp = connect_client(a_->at(8080));
  ASSERT_TRUE(tcp && tcp->echoes("before"));
  const auto before = fast_packets(*a_);
  restart(*a_, GetParam(),
          [&] { a_->ok([&](Network& n) { return n.attach(icon_); }, "attach again"); });
  EXPECT_TRUE(tcp->echoes("after"));
  EXPECT_EQ(tracked(*a_, tcp->local_port()), !fast());
  EXPECT_EQ(fast_packets(*a_) > before, fast()) << "the maps were taken over";
  EXPECT_TRUE(connect_client(a_->at(8080))->echoes("new"));
}

TEST_P(NetForward, OpenConnectionsSurviveAChangeOfTheMode) {
  start_service(*a_);
  auto tcp = connect_client(a_->at(8080));
  auto udp = udp_client(a_->at(8080));
  ASSERT_TRUE(tcp && tcp->echoes("before") && udp->echoes("before"));
  const auto claim = [&] { a_->ok([&](Network& n) { return n.attach(icon_); }, "attach again"); };
  restart(*a_, other(GetParam()), claim);
  // The service speaks first: nobody has seen this connection since.
  service_->shout("news");
  EXPECT_EQ(tcp->hear(4), "news");
  EXPECT_TRUE(tcp->echoes("after") && udp->echoes("after"));
  EXPECT_TRUE(connect_client(a_->at(8080))->echoes("new"));
  restart(*a_, GetParam(), claim);
  EXPECT_TRUE(tcp->echoes("back") && udp->echoes("back"));
  EXPECT_TRUE(connect_client(a_->at(8080))->echoes("newer"));
}

TEST_P(NetForward, WhatAStubCarriesIsCounted) {
  const auto traffic = [&](Host& host) {
    return host.call([](Network& n) { return n.stub_traffic()(); }).value_or(StubTraffics{});
  };
  start_service(*a_);
  auto tcp = connect_client(a_->at(8080));
  auto udp = udp_client(a_->at(8080));
  ASSERT_TRUE(tcp && tcp->echoes("before") && udp->echoes("before"));
  EXPECT_TRUE(traffic(*a_).stubs.empty()) << "no stub yet";
  move(*a_, *b_, {a_.get()}, {});
  const auto begin = traffic(*a_);
  ASSERT_TRUE(begin.stubs.contains(icon_.icon_id));
  EXPECT_EQ(begin.stubs.at(icon_.icon_id).connections, 0u) << "these began before it";
  ASSERT_TRUE(tcp->echoes(std::string(50'000, 'x')) && udp->echoes("after"));
  auto by_stub = connect_client(a_->at(8080));
  auto udp_by_stub = udp_client(a_->at(8080));
  ASSERT_TRUE(by_stub && by_stub->echoes(std::string(30'000, 'y')) && udp_by_stub->echoes("new"));
  auto by_ipv6 = connect_client(a_->at6(8080));
  ASSERT_TRUE(by_ipv6 && by_ipv6->echoes(std::string(20'000, 'z')));
  const auto end = traffic(*a_);
  const StubTraffic& stub = end.stubs.at(icon_.icon_id);
  EXPECT_EQ(stub.connections, 3u);
  EXPECT_GT(stub.packets_to, 10u);
  EXPECT_GT(stub.packets_from, 10u);
  EXPECT_GT(stub.bytes_to, 100'000u);
  EXPECT_GT(stub.bytes_from, 100'000u);
  EXPECT_LT(stub.bytes_to + stub.bytes_from, 300'000u) << "each packet once";
  EXPECT_EQ(end.sum.bytes_to, stub.bytes_to);
  EXPECT_EQ(end.sum.connections, 3u);
  EXPECT_TRUE(traffic(*b_).stubs.empty()) << "it runs there";
  EXPECT_EQ(a_->refused("sum_to"), UINT64_MAX) << "nothing of it is refused";
  restart(*a_, GetParam(), [&] {
    open_tunnel(*a_, *b_);
    a_->ok(
        [&](Network& n) {
          return n.attach_stub(icon_, {b_->id(), StubMode::kForward, 0});
        },
        "stub again");
  });
  EXPECT_GE(traffic(*a_).stubs[icon_.icon_id].bytes_to, stub.bytes_to) << "a restart loses nothing";
  a_->ok([&](Network& n) { return n.remove_stub(icon_.icon_id); }, "remove stub");
  EXPECT_TRUE(traffic(*a_).stubs.empty());
  EXPECT_GE(traffic(*a_).sum.bytes_to, stub.bytes_to) << "what is gone counts";
}

TEST_P(NetForward, WithoutTheFastPathNothingOfItIsLeft) {
  start_service(*a_);
  restart(*a_, Forwarding::kNftables,
          [&] { a_->ok([&](Network& n) { return n.attach(icon_); }, "attach again"); });
  EXPECT_EQ(shell(a_->netns(), "tc filter show dev ext ingress").output, "");
  EXPECT_EQ(shell(a_->netns(), "tc qdisc show dev ext clsact").output, "");
  const auto state = a_->call([](Network& n) { return n.forwarding(); });
  EXPECT_FALSE(state.fast);
  EXPECT_EQ(state.why_not, "configured");
}

TEST_P(NetForward, OthersFiltersStay) {
  must(
      a_->netns(),
      "tc qdisc replace dev ext clsact; tc filter add dev ext egress u32 match u32 0 0 flowid 1:1");
  start_service(*a_);
  EXPECT_TRUE(connect_client(a_->at(8080))->echoes("beside them"));
  a_->ok([&](Network& n) { return n.destroy(); }, "destroy");
  EXPECT_NE(shell(a_->netns(), "tc filter show dev ext egress").output, "");
  EXPECT_EQ(shell(a_->netns(), "tc filter show dev ext ingress").output, "");
}

// As a routed host has it: the public address on lo, two ways to the world, and answers leave by
// the other one. Nobody has named an external interface.
TEST_P(NetForward, APublicAddressOnLoopbackAndTwoWaysToTheWorld) {
  must(a_->netns(),
       "ip -4 addr flush dev ext; ip addr add 192.0.2.2/32 dev lo; "
       "ip addr add 10.9.0.2/30 dev ext; ip link add ext2 type veth peer name a2; "
       "ip link set a2 netns " +
           prefix() +
           "router; "
           "ip addr add 10.9.1.2/30 dev ext2; ip link set ext2 up; "
           "echo 2 > /proc/sys/net/ipv4/conf/ext/rp_filter");
  must(prefix() + "router",
       "ip addr add 10.9.0.1/30 dev to-a; ip addr add 10.9.1.1/30 dev a2; "
       "ip link set a2 up; ip route add 192.0.2.2 via 10.9.0.2");
  must(a_->netns(),
       "ip route add default via 10.9.0.1 src 192.0.2.2; "
       "ip route add 198.51.100.0/24 via 10.9.1.1 src 192.0.2.2");
  restart(*a_, GetParam(), [&] { start_service(*a_); });
  auto tcp = connect_client(a_->at(8080));
  ASSERT_TRUE(tcp && tcp->echoes(std::string(50'000, 'x')));
  EXPECT_EQ(tracked(*a_, tcp->local_port()), !fast());
  EXPECT_EQ(fast_packets(*a_) > 10, fast());
  move(*a_, *b_, {a_.get()}, {});
  EXPECT_TRUE(tcp->echoes("after"));
  EXPECT_TRUE(connect_client(a_->at(8080))->echoes("new"));
  // One of the ways is none any more when the next supervisor looks.
  const auto filters = [&](const std::string& interface) {
    return shell(a_->netns(), "tc filter show dev " + interface + " ingress").output;
  };
  EXPECT_EQ(filters("ext2") != "", fast());
  must(a_->netns(), "ip route del 198.51.100.0/24");
  a_->stop();
  a_->start();
  EXPECT_EQ(filters("ext2"), "");
  EXPECT_EQ(filters("ext") != "", fast());
}

TEST_P(NetForward, FragmentsFollowTheirFlow) {
  start_service(*a_);
  auto udp = udp_client(a_->at(8080));
  const std::string large(9'000, 'f');
  ASSERT_TRUE(udp->echoes("small") && udp->echoes(large) && udp->echoes("small again"));
  move(*a_, *b_, {a_.get()}, {});
  EXPECT_TRUE(udp->echoes("small"));
  EXPECT_TRUE(udp->echoes(large));
  EXPECT_TRUE(udp->echoes("small again"));
  auto fresh = udp_client(a_->at(8080));
  EXPECT_TRUE(fresh->echoes(large));
  EXPECT_TRUE(fresh->echoes("small"));
}

// A large answer to a small question: at the stub, its fragments are the first that the rules see.
TEST_P(NetForward, ALargeAnswerGoesHome) {
  start_service(*a_);
  move(*a_, *b_, {a_.get()}, {});
  auto udp = udp_client(a_->at(8080));
  ASSERT_TRUE(udp->echoes("question"));
  service_->answer_datagrams_with(std::string(9'000, 'a'));
  ASSERT_TRUE(udp->say("question"));
  EXPECT_EQ(udp->hear_datagram(), std::string(9'000, 'a'));
}

TEST_P(NetForward, AClientHearsThatNobodyListens) {
  icon_.ports.push_back({Protocol::kUdp, 81, 8081});
  start_service(*a_);
  const auto refused = [&](Host& host) {
    auto udp = udp_client(host.at(8081));
    (void)udp->say("anybody?");
    char byte = 0;
    return recv(udp->fd(), &byte, 1, 0) < 0 && errno == ECONNREFUSED;
  };
  EXPECT_TRUE(refused(*a_)) << shell(a_->netns(), "nft list counters").output
                            << in_service("nstat -asz | grep -i icmp; ss -ulnp");
  move(*a_, *b_, {a_.get()}, {});
  EXPECT_TRUE(refused(*b_));
  EXPECT_TRUE(refused(*a_)) << "by way of the stub";
}

// A router on the way to the client says "too big": the ICON must hear it, or it stalls.
TEST_P(NetForward, TheIconHearsOfASmallerPath) {
  start_service(*a_);
  auto tcp = connect_client(a_->at(8080));
  ASSERT_TRUE(tcp && tcp->echoes("before"));
  move(*a_, *b_, {a_.get()}, {});
  in_service("echo 0 > /proc/sys/net/ipv4/tcp_mtu_probing");
  must(prefix() + "router", "ip route replace 198.51.100.0/30 dev to-client mtu 900");
  EXPECT_TRUE(tcp->echoes(std::string(200'000, 'm')));
  EXPECT_NE(in_service("ip route get 198.51.100.2").find("mtu 900"), std::string::npos);
}

TEST_P(NetForward, UdpOfAPeerIsNoWayOut) {
  start_service(*a_);
  auto udp = udp_client(a_->at(8080));
  ASSERT_TRUE(udp->echoes("before"));
  move(*a_, *b_, {a_.get()}, {});
  ASSERT_TRUE(udp->echoes("after"));
  // Host b sends from the published port to somebody who never asked.
  must(b_->netns(), "ip addr add " + icon_.overlay.to_string() + "/32 dev lo");
  ASSERT_EQ(a_->refused("unknown"), 0u);
  shell(b_->netns(), "echo x | socat -u - UDP:198.51.100.2:9,bind=" + icon_.overlay.to_string() +
                         ":80,so-bindtodevice=" + tunnel_name(a_->id()));
  for (int i = 0; i < 200 && a_->refused("unknown") == 0; ++i)
    std::this_thread::sleep_for(Millis(10));
  EXPECT_EQ(a_->refused("unknown"), 1u);
}

}  // namespace
}  // namespace icon::net::test
