// What breaks live connections elsewhere, done to ours: every trap that was found while looking
// for a way to move an address under open connections.
#include "tests/netns/net_world.h"

namespace icon::net::test {
namespace {

class NetTraps : public World {
 protected:
  // A connection opened at a, and one through the stub, both live after the move to b.
  void move_with_connections() {
    start_service(*a_);
    open_ = connect_client(a_->at(8080));
    ASSERT_TRUE(open_ && open_->echoes("before"));
    move(*a_, *b_, {a_.get()}, {});
    fresh_ = connect_client(a_->at(8080));
    direct_ = connect_client(b_->at(8080));
    all_alive("after the move");
  }
  void all_alive(const std::string& when) {
    for (auto* socket : {&open_, &fresh_, &direct_})
      EXPECT_TRUE(*socket && (*socket)->echoes(when)) << when;
  }
  std::unique_ptr<Socket> open_;
  std::unique_ptr<Socket> fresh_;
  std::unique_ptr<Socket> direct_;
};
ICON_BOTH_MODES(NetTraps);

// The world sets rp_filter=1 everywhere before the hosts start; see net_world.h.
TEST_P(NetTraps, StrictReversePathFilters) {
  for (auto* host : {a_.get(), b_.get()})
    EXPECT_EQ(shell(host->netns(), "cat /proc/sys/net/ipv4/conf/all/rp_filter").output, "1\n");
  move_with_connections();
  service_->shout("first");
  EXPECT_EQ(open_->hear(5), "first");
}

TEST_P(NetTraps, MasqueradeOfSomebodyElse) {
  // Docker's and libvirt's are like this; they match what we forward, both ways.
  for (auto* host : {a_.get(), b_.get()})
    must(host->netns(),
         "nft 'table ip other { chain post { type nat hook postrouting priority srcnat; "
         "ip daddr 100.64.0.0/10 masquerade; ip saddr 100.64.0.0/10 masquerade; }; }'");
  move_with_connections();
  EXPECT_EQ(service_->peers(), (std::vector<std::string>(3, "198.51.100.2")))
      << "the service still sees its users";
  service_->shout("first");
  for (auto* socket : {&open_, &fresh_, &direct_}) EXPECT_EQ((*socket)->hear(5), "first");
}

TEST_P(NetTraps, AFirewallThatDropsInvalidAndForbidsLoosePickUp) {
  for (auto* host : {a_.get(), b_.get()})
    must(host->netns(),
         "echo 0 > /proc/sys/net/netfilter/nf_conntrack_tcp_loose; "
         "nft 'table ip other { chain f { type filter hook forward priority 0; "
         "ct state invalid drop; }; }'");
  start_service(*a_);
  open_ = connect_client(a_->at(8080));
  ASSERT_TRUE(open_ && open_->echoes("before"));
  move(*a_, *b_, {a_.get()}, {});
  EXPECT_TRUE(open_->echoes("after")) << "what the move needs is set again when it begins";
  service_->shout("first");
  EXPECT_EQ(open_->hear(5), "first");
}

TEST_P(NetTraps, ConntrackIsFlushed) {
  move_with_connections();
  for (auto* host : {a_.get(), b_.get()}) must(host->netns(), "conntrack -F 2>/dev/null");
  all_alive("after the flush");
  for (auto* host : {a_.get(), b_.get()}) must(host->netns(), "conntrack -F 2>/dev/null");
  all_alive("again");
}

TEST_P(NetTraps, ConntrackIsFlushedUnderARedirectingStub) {
  start_service(*a_);
  open_ = connect_client(a_->at(8080));
  ASSERT_TRUE(open_ && open_->echoes("before"));
  move(*a_, *b_, {a_.get()}, {"", StubMode::kRedirect, 4000});
  must(a_->netns(), "conntrack -F 2>/dev/null");
  EXPECT_TRUE(open_->echoes("open connections are not for the stub process"));
}

// At home, where the ICON has not moved, it may even speak first.
TEST_P(NetTraps, ConntrackIsFlushedBeforeTheServiceSpeaks) {
  start_service(*a_);
  open_ = connect_client(a_->at(8080));
  ASSERT_TRUE(open_ && open_->echoes("before"));
  must(a_->netns(), "conntrack -F 2>/dev/null");
  service_->shout("first");
  EXPECT_EQ(open_->hear(5), "first");
  EXPECT_TRUE(open_->echoes("after"));
}

TEST_P(NetTraps, TablesAreDeletedAndFlushed) {
  for (auto* host : {a_.get(), b_.get()})
    must(host->netns(),
         "nft 'table ip other { chain f { type nat hook postrouting priority 0; }; }'");
  move_with_connections();
  const auto healed = [](Host& host) {
    must(host.netns(),
         "for i in $(seq 200); do nft list chain ip icon nat_in 2>/dev/null | grep -q dnat && "
         "exit 0; sleep 0.01; done; exit 1");
  };
  for (const char* command :
       {"nft delete table ip other", "nft flush ruleset", "nft delete table ip icon",
        "nft flush table ip icon", "nft flush chain ip icon nat_in"}) {
    for (auto* host : {a_.get(), b_.get()}) {
      must(host->netns(), command);
      healed(*host);
    }
    all_alive(command);
    auto fresh = connect_client(a_->at(8080));
    EXPECT_TRUE(fresh && fresh->echoes("new")) << command;
  }
}

TEST_P(NetTraps, AReloadOfOurTableDisturbsNobody) {
  move_with_connections();
  for (int i = 0; i < 20; ++i) {
    a_->stop();
    a_->start();
    EXPECT_TRUE(open_->echoes("during reload " + std::to_string(i)));
  }
}

// Routers that tell nobody, and a path that is smaller than an Ethernet's.
TEST_P(NetTraps, ASmallPathWithIcmpBlocked) {
  // Both ends of a link: one that may send more than the other takes loses it in silence. a, on a
  // wider one, does not see it.
  for (const std::string name : {"client", "b"}) {
    must(prefix() + "router", "ip link set to-" + name + " mtu 1400");
    must(prefix() + name, "ip link set ext mtu 1400");
  }
  must(prefix() + "router",
       "nft 'table ip other { chain o { type filter hook output priority 0; ip protocol icmp drop; "
       "}; chain f { type filter hook forward priority 0; ip protocol icmp drop; }; }'");
  move_with_connections();
  const std::string large(2'000'000, 'L');
  for (auto* socket : {&open_, &fresh_, &direct_}) {
    std::string heard;
    std::thread hearing([&] { heard = (*socket)->hear(large.size()); });
    EXPECT_TRUE((*socket)->say(large));
    hearing.join();
    EXPECT_EQ(heard.size(), large.size());
  }
}

TEST_P(NetTraps, ASmallerInterfaceTowardsTheWorldClampsTheSegmentSize) {
  a_->stop();
  must(a_->netns(), "ip link set ext mtu 1200");
  a_->start();
  start_service(*a_);
  open_ = connect_client(a_->at(8080));
  ASSERT_TRUE(open_);
  int mss = 0;
  socklen_t bytes = sizeof mss;
  getsockopt(open_->fd(), IPPROTO_TCP, 2 /* TCP_MAXSEG */, &mss, &bytes);
  EXPECT_LE(mss, 1160);
  EXPECT_TRUE(open_->echoes(std::string(100'000, 's')));
}

// Two stubs to one host: each connection's answers leave by the tunnel its questions came by.
TEST_P(NetTraps, TwoStubsToOneHost) {
  move_with_connections();
  open_tunnel(*a_, *c_);
  move(*b_, *c_, {b_.get(), a_.get()}, {});
  a_->ok([&](Network& n) { return n.repoint(icon_.icon_id, {c_->id(), {}, 0}); }, "repoint");
  auto by_a = connect_client(a_->at(8080));
  auto by_b = connect_client(b_->at(8080));
  ASSERT_TRUE(by_a && by_b);
  for (int i = 0; i < 5; ++i) {
    all_alive("old ones");
    EXPECT_TRUE(by_a->echoes("by a") && by_b->echoes("by b"));
  }
  service_->shout("first");
  EXPECT_EQ(by_a->hear(5), "first");
  EXPECT_EQ(by_b->hear(5), "first");
}

// A tunnel's own packets, or anybody's on this host, that carry one of our marks.
TEST_P(NetTraps, AMarkOnThisHostsOwnPacketsLeadsNowhere) {
  move_with_connections();
  const auto tunnels = a_->call([](Network& n) { return n.tunnels(); });
  ASSERT_EQ(tunnels.size(), 1u);
  const auto carried = [&] {
    return std::stoull(shell(a_->netns(), "cat /proc/net/dev | grep " + tunnels[0].interface +
                                              " | awk '{print $11}'")
                           .output);
  };
  // Enough that a late acknowledgement of the connections is none of them.
  constexpr std::uint64_t kPackets = 50;
  const auto before = carried();
  EXPECT_TRUE(a_->thread().run([&] {
    Socket socket(SOCK_DGRAM);
    const std::uint32_t mark = tunnels[0].mark;
    const bool sent = setsockopt(socket.fd(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) == 0 &&
                      socket.connect_to(b_->at(9));
    // Nobody listens there: what says so to one packet may come in the place of another.
    for (std::uint64_t i = 0; i < kPackets; ++i) (void)socket.say("outer packet");
    return sent;
  }));
  EXPECT_LT(carried(), before + kPackets / 5) << "a loop: into the tunnel it came out of";
  all_alive("and goes on");
}

}  // namespace
}  // namespace icon::net::test
