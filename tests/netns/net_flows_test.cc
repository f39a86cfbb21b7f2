// Long-lived flows over a move: what the ICON has opened itself, and datagrams at a steady pace.
#include "tests/netns/net_world.h"

namespace icon::net::test {
namespace {

class NetFlows : public World {
 protected:
  // A database somewhere in the world: it answers each line with "ok:" and the line.
  std::unique_ptr<Socket> database() {
    return client_->run([] {
      auto socket = std::make_unique<Socket>(SOCK_STREAM);
      EXPECT_TRUE(socket->bind_to(endpoint("0.0.0.0:5432")) && listen(socket->fd(), 8) == 0);
      return socket;
    });
  }
  std::unique_ptr<Socket> dial(int type, const std::string& to, std::uint16_t from_port = 0) {
    NetnsThread inside(service_netns_);
    return inside.run([&] {
      auto socket = std::make_unique<Socket>(type);
      EXPECT_TRUE(from_port == 0 || socket->bind_to({Address{}, from_port}));
      EXPECT_TRUE(socket->connect_to(endpoint(to)));
      return socket;
    });
  }
  static bool query(Socket& icon, int database_fd, const std::string& text) {
    std::string heard(text.size(), '\0');
    return icon.say(text) &&
           recv(database_fd, heard.data(), heard.size(), MSG_WAITALL) ==
               static_cast<ssize_t>(heard.size()) &&
           heard == text && send(database_fd, "ok", 2, MSG_NOSIGNAL) == 2 && icon.hear(2) == "ok";
  }
};
ICON_BOTH_MODES(NetFlows);

TEST_P(NetFlows, ConnectionsToADatabaseSurviveThreeMoves) {
  start_service(*a_);
  auto listener = database();
  auto early = dial(SOCK_STREAM, "198.51.100.2:5432");
  UniqueFd early_end(accept(listener->fd(), nullptr, nullptr));
  ASSERT_TRUE(early_end && query(*early, early_end.get(), "select 1"));
  move(*a_, *b_, {a_.get()}, {});
  EXPECT_TRUE(query(*early, early_end.get(), "at b"));
  service_netns_ = netns_of(*b_);
  auto late = dial(SOCK_STREAM, "198.51.100.2:5432");
  UniqueFd late_end(accept(listener->fd(), nullptr, nullptr));
  ASSERT_TRUE(late_end && query(*late, late_end.get(), "opened at b"));
  move(*b_, *c_, {b_.get()}, {});
  EXPECT_TRUE(query(*early, early_end.get(), "at c"));
  EXPECT_TRUE(query(*late, late_end.get(), "at c"));
  // And the database speaks first after a move, too.
  move(*c_, *b_, {c_.get()}, {});
  ASSERT_EQ(send(late_end.get(), "push", 4, MSG_NOSIGNAL), 4);
  EXPECT_EQ(late->hear(4), "push");
  EXPECT_TRUE(query(*late, late_end.get(), "back at b"));
}

// A service that dials out from the port it publishes is not mistaken for one that answers.
TEST_P(NetFlows, AConnectionOutFromAPublishedPort) {
  icon_.ports.push_back({Protocol::kTcp, 7000, 7000});
  start_service(*a_);
  auto listener = database();
  auto out = dial(SOCK_STREAM, "198.51.100.2:5432", 7000);
  UniqueFd end(accept(listener->fd(), nullptr, nullptr));
  ASSERT_TRUE(end && query(*out, end.get(), "from a published port"));
  move(*a_, *b_, {a_.get()}, {});
  EXPECT_TRUE(query(*out, end.get(), "after the move"));
}

// A game: the client sends a numbered datagram every 16 ms and counts what does not come back.
TEST_P(NetFlows, ADatagramFlowAtSixtyHertzKeepsItsPaceAndItsPorts) {
  constexpr Millis kTick{16};
  constexpr int kTicks = 90;
  start_service(*a_);
  auto udp = udp_client(a_->at(8080));
  ASSERT_TRUE(udp->echoes("hello"));
  std::atomic<bool> moved{false};
  int lost = 0;
  int late = 0;
  std::thread game([&] {
    int ticks = 0;
    // One tick is a wait for the answer, at most as long as the tick: no other clock is needed.
    for (int last = 0; ticks < kTicks || last < kTicks / 3; ++ticks) {
      last = moved ? last + 1 : 0;
      const std::string text = "tick " + std::to_string(10'000 + ticks);
      const auto next = std::chrono::steady_clock::now() + kTick;
      EXPECT_TRUE(udp->say(text));
      bool heard = false;
      for (;;) {
        const auto left =
            std::chrono::duration_cast<Millis>(next - std::chrono::steady_clock::now());
        if (left.count() <= 0 || udp->silent_for(left)) break;
        const std::string answer = udp->hear_datagram();
        heard = heard || answer == text;
        late += answer != text;
      }
      lost += !heard;
    }
  });
  move(*a_, *b_, {a_.get()}, {});
  moved = true;
  game.join();
  // What came late was held, not lost.
  lost -= late;
  RecordProperty("lost_datagrams", lost);
  EXPECT_LE(lost, 2) << late << " came late";
  const std::string last_words = "the same flow, the same ports";
  EXPECT_TRUE(udp->say(last_words));
  std::string answer = udp->hear_datagram();
  while (answer.starts_with("tick ")) answer = udp->hear_datagram();  // after its tick
  EXPECT_EQ(answer, last_words);
}

}  // namespace
}  // namespace icon::net::test
