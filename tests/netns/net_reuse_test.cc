// Hosts and users that have met before: a source port that had a connection at one host, closed
// since, has another at a second host when the ICON moves to the first. Nothing that the first host
// remembers may touch the second connection. And what it remembers ends.
#include "tests/netns/net_world.h"

namespace icon::net::test {
namespace {

constexpr std::uint16_t kPort = 40'000;

class NetReuse : public World {
 protected:
  // What both ends say last; the client closes first.
  static void close_both(Socket& tcp) {
    ASSERT_EQ(shutdown(tcp.fd(), SHUT_WR), 0);
    EXPECT_EQ(tcp.hear(1), "") << "the other FIN";
  }
  void one_connection(const Endpoint& to, std::uint16_t port = kPort) {
    auto tcp = connect_client(to, port);
    ASSERT_TRUE(tcp && tcp->echoes("an earlier connection"));
    close_both(*tcp);
  }
  enum class First { kClient, kService };
  void expect_alive(Socket& tcp, const std::string& where, First first = First::kClient) {
    EXPECT_TRUE(first == First::kService || tcp.echoes("the client first")) << where;
    service_->shout("the service speaks");
    EXPECT_EQ(tcp.hear(18), "the service speaks") << where;
    EXPECT_TRUE(tcp.echoes(std::string(100'000, 'z'))) << where;
  }
  void expect_it_outlives_a_move(const Endpoint& at_a, Host& from, Host& to,
                                 First first = First::kClient) {
    auto tcp = connect_client(at_a, kPort);
    ASSERT_TRUE(tcp && tcp->echoes("at the second host"));
    settle(to);
    move(from, to, {&from}, {});
    expect_alive(*tcp, "after the move", first);
    settle(to);
    expect_alive(*tcp, "settled");
  }
  // How many connections that name the ICON this host's connection tracking knows.
  int tracked(Host& host, const std::string& which = "") {
    const auto lines =
        shell(host.netns(), "{ conntrack -L -f ipv4; conntrack -L -f ipv6; } 2>/dev/null | grep '" +
                                which + "' | grep -cE '(" + icon_.overlay.to_string() + "|" +
                                overlay6().to_string() + ") '");
    return std::stoi(lines.output);
  }
  void expect_tidied(Host& host, const std::string& which) {
    for (int i = 0; i < 200 && tracked(host, which) != 0; ++i) shell("", "sleep 0.03");
    EXPECT_EQ(tracked(host, which), 0)
        << shell(host.netns(), "conntrack -L 2>/dev/null; conntrack -L -f ipv6 2>/dev/null").output;
  }
};
ICON_BOTH_MODES(NetReuse);

TEST_P(NetReuse, TheIconComesHomeToWhereThePortHadAConnection) {
  start_service(*b_);
  one_connection(b_->at(8080));
  move(*b_, *a_, {b_.get()}, {});
  expect_it_outlives_a_move(a_->at(8080), *a_, *b_);
}

TEST_P(NetReuse, TheIconComesHomeToWhereThePortHadAConnection6) {
  start_service(*b_);
  one_connection(b_->at6(8080));
  move(*b_, *a_, {b_.get()}, {});
  expect_it_outlives_a_move(a_->at6(8080), *a_, *b_);
}

TEST_P(NetReuse, TheIconArrivesWhereItsStubHasEnded) {
  start_service(*b_);
  one_connection(b_->at(8080));
  move(*b_, *a_, {b_.get()}, {});
  b_->ok([&](Network& n) { return n.remove_stub(icon_.icon_id); }, "remove_stub");
  expect_it_outlives_a_move(a_->at(8080), *a_, *b_, First::kService);
}

// While an ICON is held, connection tracking has it all; then the fast path takes it back, and with
// it both FINs.
TEST_P(NetReuse, TheConnectionWasHeldAndThenEnded) {
  start_service(*b_);
  auto tcp = connect_client(b_->at(8080), kPort);
  ASSERT_TRUE(tcp && tcp->echoes("before"));
  b_->ok([&](Network& n) { return n.hold(icon_.icon_id); }, "hold");
  ASSERT_TRUE(tcp->say("held"));
  EXPECT_TRUE(tcp->silent_for(Millis(30)));
  b_->ok([&](Network& n) { return n.unhold(icon_.icon_id); }, "unhold");
  EXPECT_EQ(tcp->hear(4), "held");
  EXPECT_TRUE(tcp->echoes("after"));
  close_both(*tcp);
  tcp.reset();
  move(*b_, *a_, {b_.get()}, {});
  expect_it_outlives_a_move(a_->at(8080), *a_, *b_, First::kService);
}

// The first that connection tracking would see of it is its end.
TEST_P(NetReuse, TheClientEndsTheConnectionWhileItIsHeld) {
  start_service(*b_);
  auto goes_back = connect_client(b_->at(8080), kPort);
  ASSERT_TRUE(goes_back && goes_back->echoes("before"));
  b_->ok([&](Network& n) { return n.hold(icon_.icon_id); }, "hold");
  ASSERT_EQ(shutdown(goes_back->fd(), SHUT_WR), 0);
  EXPECT_TRUE(goes_back->silent_for(Millis(30))) << "a reset";
  b_->ok([&](Network& n) { return n.unhold(icon_.icon_id); }, "unhold");
  EXPECT_EQ(goes_back->hear(1), "");
  settle(*b_);
  auto goes_on = connect_client(b_->at(8080), kPort + 1);
  ASSERT_TRUE(goes_on && goes_on->echoes("before"));
  begin_move(*b_, *a_, {b_.get()});
  end_move(*b_, *a_, {}, [&] {
    EXPECT_EQ(shutdown(goes_on->fd(), SHUT_WR), 0);
    EXPECT_TRUE(goes_on->silent_for(Millis(30))) << "a reset";
  });
  EXPECT_EQ(goes_on->hear(1), "");
  for (const auto& tcp : {goes_back->fd(), goes_on->fd()}) {
    int error = -1;
    socklen_t size = sizeof error;
    EXPECT_EQ(getsockopt(tcp, SOL_SOCKET, SO_ERROR, &error, &size), 0);
    EXPECT_EQ(error, 0);
  }
}

// The last moment: the stub's host has set up everything for the ICON's return, and a user's
// connection through the stub ends.
TEST_P(NetReuse, TheConnectionEndsAtTheStubDuringTheMove) {
  start_service(*b_);
  move(*b_, *a_, {b_.get()}, {});
  settle(*b_);
  auto old_one = connect_client(b_->at(8080), kPort);
  ASSERT_TRUE(old_one && old_one->echoes("through the stub"));
  begin_move(*a_, *b_, {a_.get()});
  close_both(*old_one);
  old_one.reset();
  // The ICON's host forgets before the stub's.
  shell(a_->netns(), "conntrack -F");
  auto new_one = connect_client(a_->at(8080), kPort);
  ASSERT_TRUE(new_one && new_one->echoes("direct"));
  end_move(*a_, *b_, {});
  expect_alive(*new_one, "after the move");
  settle(*b_);
  expect_alive(*new_one, "settled");
}

// A connection of the ICON's own, from the same port to the same server.
TEST_P(NetReuse, TheIconHadAConnectionOutFromTheSamePort) {
  start_service(*b_);
  auto listener = client_->run([] {
    auto socket = std::make_unique<Socket>(SOCK_STREAM);
    EXPECT_TRUE(socket->bind_to(endpoint("0.0.0.0:5432")) && listen(socket->fd(), 8) == 0);
    return socket;
  });
  const auto dial = [&] {
    NetnsThread inside(service_netns_);
    return inside.run([&] {
      auto socket = std::make_unique<Socket>(SOCK_STREAM);
      EXPECT_TRUE(socket->bind_to({Address{}, 5000}));
      EXPECT_TRUE(socket->connect_to(endpoint("198.51.100.2:5432")));
      return socket;
    });
  };
  {
    auto out = dial();
    UniqueFd end(accept(listener->fd(), nullptr, nullptr));
    // The server closes first, so that the ICON may use the port again.
    ASSERT_TRUE(end && shutdown(end.get(), SHUT_WR) == 0 && out->hear(1).empty());
  }
  move(*b_, *a_, {b_.get()}, {});
  service_netns_ = netns_of(*a_);
  auto out = dial();
  UniqueFd end(accept(listener->fd(), nullptr, nullptr));
  ASSERT_TRUE(end);
  settle(*b_);
  move(*a_, *b_, {a_.get()}, {});
  ASSERT_TRUE(out->say("query"));
  char heard[5];
  EXPECT_EQ(recv(end.get(), heard, sizeof heard, MSG_WAITALL), 5);
  EXPECT_EQ(send(end.get(), "ok", 2, MSG_NOSIGNAL), 2);
  EXPECT_EQ(out->hear(2), "ok");
}

// What a stub's end and a fast path leave in connection tracking's table does not stay for days.
TEST_P(NetReuse, NothingStaysOfWhatIsNotCarriedAnyMore) {
  start_service(*a_);
  std::vector<std::unique_ptr<Socket>> open;
  for (int i = 0; i < 20; ++i) {
    open.push_back(connect_client(a_->at(8080)));
    ASSERT_TRUE(open.back() && open.back()->echoes("before"));
  }
  move(*a_, *b_, {a_.get()}, {}, [&] {
    for (auto& tcp : open) ASSERT_TRUE(tcp->say("held"));
  });
  for (auto& tcp : open) EXPECT_EQ(tcp->hear(4), "held");
  if (fast()) {
    EXPECT_GE(tracked(*a_), 20);
    expect_tidied(*a_, "");
    expect_tidied(*b_, "");
  }
  for (auto& tcp : open) {
    EXPECT_TRUE(tcp->echoes("after"));
    close_both(*tcp);
  }
  expect_tidied(*a_, "ESTABLISHED");
  expect_tidied(*b_, "ESTABLISHED");
  auto left = connect_client(a_->at(8080));
  ASSERT_TRUE(left && left->echoes("through the stub"));
  a_->ok([&](Network& n) { return n.remove_stub(icon_.icon_id); }, "remove_stub");
  expect_tidied(*a_, "");
}

}  // namespace
}  // namespace icon::net::test
