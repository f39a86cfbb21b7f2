// A supervisor that dies and comes back: what runs goes on, and is its own again.
#include <signal.h>

#include "tests/netns/net_world.h"

namespace icon::net::test {
namespace {

class NetAdopt : public World {
 protected:
  static std::string snapshot(Host& host) {
    // Counters and handles change; everything else must not.
    return shell(host.netns(),
                 "nft -s list table ip icon; ip rule; ip route show table all proto 73; "
                 "ip -o link | grep -E ' i[vt]' | cut -d' ' -f1,2")
        .output;
  }
};
ICON_BOTH_MODES(NetAdopt);

TEST_P(NetAdopt, ARunningIconIsNotDisturbed) {
  start_service(*a_);
  auto tcp = connect_client(a_->at(8080));
  ASSERT_TRUE(tcp && tcp->echoes("before"));
  const std::string before = snapshot(*a_);
  a_->stop();
  EXPECT_TRUE(tcp->echoes("without a supervisor"));
  a_->start();
  a_->ok([&](Network& n) { return n.attach(icon_); }, "attach again");
  a_->ok([&](Network& n) { return n.prune(); }, "prune");
  EXPECT_EQ(snapshot(*a_), before);
  EXPECT_TRUE(tcp->echoes("adopted"));
  EXPECT_TRUE(connect_client(a_->at(8080))->echoes("new"));
}

TEST_P(NetAdopt, StubAndTunnelGoOn) {
  start_service(*a_);
  auto tcp = connect_client(a_->at(8080));
  ASSERT_TRUE(tcp && tcp->echoes("before"));
  move(*a_, *b_, {a_.get()}, {});
  ASSERT_TRUE(tcp->echoes("moved"));
  settle(*a_);
  settle(*b_);
  const std::string before_a = snapshot(*a_);
  const std::string before_b = snapshot(*b_);
  const auto tunnel_pid = [&] { return a_->call([](Network& n) { return n.tunnels(); })[0].pid; };
  const int pid = tunnel_pid();
  a_->stop();
  b_->stop();
  EXPECT_TRUE(tcp->echoes("without supervisors"));
  a_->start();
  b_->start();
  const auto reopen = [](Host& host, Host& peer) {
    EXPECT_TRUE(host.call([&](Network& n) { return n.open_tunnel(peer.id()); }));
  };
  reopen(*a_, *b_);
  reopen(*b_, *a_);
  a_->ok([&](Network& n) { return n.attach_stub(icon_, {b_->id(), {}, 0}); }, "attach_stub");
  b_->ok([&](Network& n) { return n.attach(icon_at({a_.get()})); }, "attach");
  a_->ok([&](Network& n) { return n.prune(); }, "prune");
  b_->ok([&](Network& n) { return n.prune(); }, "prune");
  EXPECT_EQ(tunnel_pid(), pid) << "the same process";
  EXPECT_EQ(snapshot(*a_), before_a);
  EXPECT_EQ(snapshot(*b_), before_b);
  EXPECT_TRUE(tcp->echoes("adopted"));
}

TEST_P(NetAdopt, DeathWhileHoldingIsARollbackOnce) {
  start_service(*a_);
  auto tcp = connect_client(a_->at(8080));
  ASSERT_TRUE(tcp && tcp->echoes("before"));
  a_->ok([&](Network& n) { return n.hold(icon_.icon_id); }, "hold");
  ASSERT_TRUE(tcp->say("held"));
  a_->stop();
  EXPECT_TRUE(tcp->silent_for(Millis(30)));
  a_->start();
  a_->ok([&](Network& n) { return n.attach(icon_); }, "attach again");
  EXPECT_EQ(tcp->hear(4), "held") << "the queue is gone, TCP repeats";
  EXPECT_EQ(a_->refused("leaked"), 0u);
}

// What the freeze guard does when the supervisor is killed during a move: users are served again,
// of both families, though nobody is there who could tell the kernel anything else.
TEST_P(NetAdopt, TheFreezeGuardGivesServiceBackWithoutASupervisor) {
  start_service(*a_);
  // The first connection of a young link waits for it, and TCP would repeat as slowly from then on.
  ASSERT_TRUE(connect_client(a_->at6(8080)));
  auto tcp = connect_client(a_->at(8080));
  auto tcp6 = connect_client(a_->at6(8080));
  auto udp = udp_client(a_->at(8080));
  auto udp6 = udp_client(a_->at6(8080));
  for (auto* socket : {&tcp, &tcp6, &udp, &udp6})
    ASSERT_TRUE(*socket && (*socket)->echoes("before"));
  a_->ok([&](Network& n) { return n.hold(icon_.icon_id); }, "hold");
  ASSERT_TRUE(tcp->say("held") && tcp6->say("held"));
  EXPECT_TRUE(tcp->silent_for(Millis(30)));
  a_->stop();
  for (const auto& words : undo_hold_commands(icon_.icon_id, icon_.overlay)) {
    std::string command;
    for (const auto& word : words) command += "'" + word + "' ";
    must(a_->netns(), command);
  }
  EXPECT_EQ(tcp->hear(4), "held") << "the queue is gone, TCP repeats";
  EXPECT_EQ(tcp6->hear(4), "held");
  for (auto* socket : {&tcp, &tcp6, &udp, &udp6}) EXPECT_TRUE((*socket)->echoes("thawed"));
  service_->shout("news");
  for (auto* socket : {&tcp, &tcp6}) EXPECT_EQ((*socket)->hear(4), "news");
  auto fresh = connect_client(a_->at(8080));
  auto fresh6 = connect_client(a_->at6(8080));
  ASSERT_TRUE(fresh && fresh6);
  EXPECT_TRUE(fresh->echoes("new") && fresh6->echoes("new"));
  a_->start();
  a_->ok([&](Network& n) { return n.attach(icon_); }, "attach again");
  a_->ok([&](Network& n) { return n.prune(); }, "prune");
  for (auto* socket : {&tcp, &tcp6, &udp, &udp6, &fresh, &fresh6})
    EXPECT_TRUE((*socket)->echoes("adopted"));
}

TEST_P(NetAdopt, DeathBetweenCommitAndDetachKeepsTheOriginalSilent) {
  start_service(*a_);
  auto tcp = connect_client(a_->at(8080));
  ASSERT_TRUE(tcp && tcp->echoes("before"));
  open_tunnel(*a_, *b_);
  b_->ok([&](Network& n) { return n.attach_held(icon_at({a_.get()})); }, "attach_held");
  a_->ok([&](Network& n) { return n.hold(icon_.icon_id); }, "hold");
  a_->stop();
  a_->start();
  EXPECT_TRUE(a_->call([&](Network& n) { return n.open_tunnel(b_->id()); }));
  a_->ok([&](Network& n) { return n.attach_stub(icon_, {b_->id(), {}, 0}); }, "attach_stub");
  service_->shout("the original must not be heard");
  EXPECT_TRUE(tcp->silent_for(Millis(50)));
  replug(*b_);
  b_->ok([&](Network& n) { return n.release(icon_.icon_id); }, "release");
  a_->ok([&](Network& n) { return n.detach(icon_.icon_id); }, "detach");
  EXPECT_EQ(tcp->hear(30), "the original must not be heard") << "now from its new host";
  EXPECT_TRUE(tcp->echoes("after"));
}

TEST_P(NetAdopt, WhatNobodyClaimsIsPruned) {
  start_service(*a_);
  move(*a_, *b_, {a_.get()}, {});
  b_->stop();
  b_->start();
  b_->ok([&](Network& n) { return n.prune(); }, "prune");
  EXPECT_EQ(shell(b_->netns(), "ip -o link | grep -cE ' i[vht]'").output, "0\n");
  EXPECT_EQ(shell(b_->netns(), "nft list table ip icon | grep -c elements").output, "0\n");
  EXPECT_EQ(shell(b_->netns(), "ip route show table all proto 73").output, "");
  EXPECT_EQ(shell("", "ls /run/netns").output.find("icon-" + b_->id().substr(0, 8)),
            std::string::npos);
}

TEST_P(NetAdopt, ALostTableIsLoadedAgain) {
  start_service(*a_);
  must(a_->netns(), "nft flush ruleset");
  a_->ok([&](Network& n) { return n.hold(icon_.icon_id); }, "hold");
  a_->ok([&](Network& n) { return n.unhold(icon_.icon_id); }, "unhold");
  auto tcp = connect_client(a_->at(8080));
  EXPECT_TRUE(tcp && tcp->echoes("healed"));
}

TEST_P(NetAdopt, AHungTunnelIsReplaced) {
  start_service(*a_);
  move(*a_, *b_, {a_.get()}, {});
  const int pid = a_->call([](Network& n) { return n.tunnels(); })[0].pid;
  a_->stop();
  kill(pid, SIGSTOP);
  a_->start();
  EXPECT_TRUE(a_->call([&](Network& n) { return n.open_tunnel(b_->id()); }));
  EXPECT_NE(a_->call([](Network& n) { return n.tunnels(); })[0].pid, pid);
  a_->ok([&](Network& n) { return n.attach_stub(icon_, {b_->id(), {}, 0}); }, "attach_stub");
  auto tcp = connect_client(a_->at(8080));
  EXPECT_TRUE(tcp && tcp->echoes("through the new one"));
}

TEST_P(NetAdopt, AKilledTunnelIsStartedAgain) {
  start_service(*a_);
  auto tcp = connect_client(a_->at(8080));
  ASSERT_TRUE(tcp && tcp->echoes("before"));
  move(*a_, *b_, {a_.get()}, {});
  ASSERT_TRUE(tcp->echoes("moved"));
  for (auto* host : {a_.get(), b_.get()}) {
    const int pid = host->call([](Network& n) { return n.tunnels(); })[0].pid;
    ASSERT_GT(pid, 0);
    kill(pid, SIGKILL);
    EXPECT_TRUE(tcp->echoes("after the crash at " + host->netns()));
    EXPECT_NE(host->call([](Network& n) { return n.tunnels(); })[0].pid, pid);
  }
}

}  // namespace
}  // namespace icon::net::test
