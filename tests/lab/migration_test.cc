// Whole-system tests of moves: supervisors, agents, CRIU, tunnels and redis on the real kernel.
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <regex>
#include <thread>

#include "base/http_client.h"
#include "tests/eventually.h"
#include "tests/lab/move_world.h"

namespace icon::lab {
namespace {

class MigrationTest : public MoveWorldTest {
 protected:
  std::string metrics(const std::string& host) {
    http::UnixRequest request;
    request.socket_path = world_->socket(host);
    request.target = "/metrics";
    const auto answer = http::request_blocking(std::move(request));
    return answer ? answer->body : answer.error().message;
  }
  // Those of its users: as large as before the move, not the 524 bytes of a restored socket.
  void expect_full_segments(const std::string& host) {
    const auto agent = world_->get(host, "/v1/icons/redis")->at("pid").as_int64();
    Command command;
    command.argv = {"nsenter", "--net=/proc/" + std::to_string(agent) + "/ns/net",
                    "ss",      "-Htin",
                    "state",   "established"};
    const auto outcome = world_->lab().run(host, std::move(command));
    ASSERT_TRUE(outcome && outcome->ok());
    const std::regex pattern("[ \t]mss:([0-9]+)");
    int seen = 0;
    for (std::sregex_iterator it(outcome->output.begin(), outcome->output.end(), pattern), end;
         it != end; ++it, ++seen)
      EXPECT_GE(std::stoi((*it)[1]), 1300);
    EXPECT_GE(seen, 8);
  }
};

TEST_F(MigrationTest, ConnectionsFollowFromHostToHostAndBack) {
  auto at_a = load("a");
  EXPECT_EQ(outcome("a", order_move("a", "b")), "done");
  auto at_b = load("b");
  EXPECT_EQ(outcome("b", order_move("b", "c")), "done");
  // A's stub points straight at C: it has a tunnel there, and B is not on the way.
  const auto stubs = world_->get("a", "/v1/stubs");
  ASSERT_TRUE(stubs);
  EXPECT_NE(boost::json::serialize(*stubs).find(address("c").to_string()), std::string::npos);
  auto at_c = load("c");
  EXPECT_EQ(outcome("c", order_move("c", "a")), "done");
  expect_all_answered(at_a.stop());
  expect_all_answered(at_b.stop());
  expect_all_answered(at_c.stop());
  EXPECT_EQ(count_damaged(data_, no_poll).value(), 0);
  EXPECT_EQ(icon_state("a"), "running");
  EXPECT_EQ(icon_state("b"), "moved");
  EXPECT_EQ(icon_state("c"), "moved");
  // The fast path carried them, on hosts whose public address is on lo and that name no interface.
  for (const auto& host : {"a", "b", "c"}) {
    const auto log = read_file(world_->log_file(host), 16 << 20).value_or("");
    EXPECT_NE(log.find(R"("event":"net.forwarding","mode":"bpf")"), std::string::npos) << host;
    EXPECT_TRUE(std::regex_search(log, std::regex(R"("event":"net.queue".*"fast_packets":[1-9])")))
        << host;
  }
  // Each with the connections of its own users.
  for (const auto& host : {"b", "c"}) {
    const auto text = metrics(host);
    EXPECT_TRUE(std::regex_search(
        text, std::regex(R"(icon_stub_bytes_total\{direction="to_icon",icon="\w+"\} [1-9])")))
        << text;
    EXPECT_TRUE(std::regex_search(
        text, std::regex(R"(icon_stubs_packets_total\{direction="from_icon"\} [1-9])")));
  }
}

// A stopped process would keep CRIU waiting in the gap, for a minute.
TEST_F(MigrationTest, WhatCannotMoveIsRefusedBeforeTheFreeze) {
  EXPECT_EQ(world_->get("a", "/v1/icons/redis/movable?to=" + address("b").to_string() + ":7946")
                ->at("movable"),
            true);
  EXPECT_EQ(world_->get("a", "/v1/icons/redis/movable?to=nobody")->at("movable"), false);
  const auto agent = world_->get("a", "/v1/icons/redis")->at("pid").as_int64();
  const std::string task = "/proc/" + std::to_string(agent) + "/task/" + std::to_string(agent);
  const int redis = std::stoi(read_file(task + "/children", 64).value());
  ASSERT_EQ(kill(redis, SIGSTOP), 0);
  ASSERT_TRUE(icon::test::eventually([&] {
    const auto status = read_file("/proc/" + std::to_string(redis) + "/status", 4096).value_or("");
    return status.find("State:\tT") != std::string::npos;
  }));
  const auto answer = world_->get("a", "/v1/icons/redis/movable");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->at("movable"), false);
  EXPECT_EQ(answer->at("obstacles").as_array().at(0).at("kind"), "stopped");
  const auto id = order_move("a", "b");
  EXPECT_EQ(outcome("a", id), "rolled_back");
  const auto move = world_->get("a", "/v1/migrations/" + id);
  ASSERT_TRUE(move);
  EXPECT_NE(move->at("error").as_string().find("SIGSTOP"), std::string::npos);
  EXPECT_EQ(boost::json::serialize(move->at("phases")).find("freeze"), std::string::npos);
  EXPECT_EQ(move->at("gap_us"), 0);
  EXPECT_EQ(icon_state("a"), "running");
  ASSERT_EQ(kill(redis, SIGCONT), 0);
  EXPECT_EQ(outcome("a", order_move("a", "b")), "done");
  EXPECT_EQ(count_damaged(data_, no_poll).value(), 0);
}

TEST_F(MigrationTest, TheDestinationsSupervisorDiesDuringTheTransfer) {
  auto users = load("a");
  const auto id = order_move("a", "b");
  wait_for_phase("a", id, "transfer");
  EXPECT_EQ(icon_state("a"), "migrating");
  must(world_->kill_supervisor("b"));
  EXPECT_EQ(outcome("a", id), "rolled_back");
  EXPECT_EQ(icon_state("a"), "running");
  expect_exact(users.mark("after"));
  must(world_->start_supervisor("b"));
  EXPECT_EQ(outcome("b", id), "aborted");
  expect_clean("b");
  // And once more, now that everybody is well.
  EXPECT_EQ(outcome("a", order_move("a", "b")), "done");
  expect_exact(users.mark("there"));
  expect_full_segments("b");
  expect_all_answered(users.stop());
  EXPECT_EQ(count_damaged(data_, no_poll).value(), 0);
}

TEST_F(MigrationTest, TheSourcesSupervisorDiesDuringTheTransfer) {
  auto users = load("a");
  const auto id = order_move("a", "b");
  wait_for_phase("a", id, "transfer");
  must(world_->kill_supervisor("a"));
  // Nobody but the freeze guard is left to thaw: replies come again without a supervisor.
  ASSERT_TRUE(users.mark("without supervisor"));
  const auto deadline = std::chrono::steady_clock::now() + kMoveMax;
  std::int64_t replies = 0;
  while (replies < 50 && std::chrono::steady_clock::now() < deadline) {
    const auto report = users.report();
    ASSERT_TRUE(report) << report.error().message;
    replies = report->window_replies.right;
    std::this_thread::sleep_for(kStep);
  }
  EXPECT_GE(replies, 50);
  must(world_->start_supervisor("a"));
  EXPECT_EQ(outcome("a", id), "rolled_back");
  EXPECT_EQ(outcome("b", id), "aborted");
  expect_clean("b");
  EXPECT_EQ(icon_state("a"), "running");
  expect_all_answered(users.stop());
  EXPECT_EQ(count_damaged(data_, no_poll).value(), 0);
}

// There and back, with one of the two killed around the commit: whatever the moment, exactly one
// copy serves in the end, and nobody has lost a reply.
TEST_F(MigrationTest, OneCopyServesWhoeverDiesAtTheCommit) {
  std::vector<LoadClient> users;
  users.push_back(load("a"));
  std::string here = "a";
  std::string there = "b";
  for (const std::string phase : {"restore", "commit", "settle"}) {
    for (const bool is_source : {false, true}) {
      SCOPED_TRACE(phase + (is_source ? ", the source dies" : ", the destination dies"));
      const auto id = order_move(here, there);
      wait_for_phase(here, id, phase);
      const std::string dead = is_source ? here : there;
      must(world_->kill_supervisor(dead));
      must(world_->start_supervisor(dead));
      if (expect_one_copy(id, here, there)) users.push_back(load(here));
      for (auto& user : users) {
        EXPECT_TRUE(icon::test::eventually([&] {
          const auto report = user.report();
          return report && report->total_replies.right > 0;
        }));
        expect_exact(user.mark("after"));
      }
      if (HasFailure()) return;
    }
  }
  for (auto& user : users) expect_all_answered(user.stop());
  EXPECT_EQ(count_damaged(data_, no_poll).value(), 0);
}

class SlowLinkTest : public MoveWorldTest {
 protected:
  void change(DemoWorldOptions& options) override {
    options.topology_text =
        std::regex_replace(options.topology_text, std::regex("b: b\\}"), "b: b, rate_mbit: 200}");
    options.more_config = "gap_max_ms: 200\n";
  }
};

// Its memory changes faster than the link carries it away: the move is refused before the freeze.
TEST_F(SlowLinkTest, AServiceThatOutrunsTheLinkStays) {
  auto users = load("a");
  std::atomic<bool> is_enough = false;
  std::thread writer([&] {
    while (!is_enough) must(write_data(data_, no_poll));
  });
  const auto id = order_move("a", "b");
  EXPECT_EQ(outcome("a", id), "rolled_back");
  is_enough = true;
  writer.join();
  const auto move = world_->get("a", "/v1/migrations/" + id);
  ASSERT_TRUE(move);
  const std::string error(move->at("error").as_string());
  EXPECT_NE(error.find("(gap_max_ms)"), std::string::npos) << error;
  for (const auto& phase : move->at("phases").as_array())
    EXPECT_NE(phase.as_object().at("name").as_string(), "freeze");
  EXPECT_EQ(outcome("b", id), "aborted");
  expect_clean("b");
  // Once it is calm, it goes.
  EXPECT_EQ(outcome("a", order_move("a", "b")), "done");
  expect_all_answered(users.stop());
  EXPECT_EQ(count_damaged(data_, no_poll).value(), 0);
}

class SilentSourceTest : public MoveWorldTest {
 protected:
  void change(DemoWorldOptions& options) override {
    options.topology_text =
        std::regex_replace(options.topology_text, std::regex("b: b\\}"), "b: b, rate_mbit: 100}");
    options.more_config = "silence_max_ms: 4000\n";
  }
};

// The cable is cut while the memory is under way: the destination gives the place to others by
// itself.
TEST_F(SilentSourceTest, ASourceThatSaysNothingKeepsNoPlace) {
  auto users = load("a");
  const auto id = order_move("a", "b");
  wait_for_phase("a", id, "memory");
  must(world_->lab().set_link("host-b", {.up = false}));
  EXPECT_EQ(outcome("b", id), "aborted");
  expect_clean("b");
  must(world_->lab().set_link("host-b", {.up = true}));
  EXPECT_EQ(outcome("a", id), "rolled_back");
  EXPECT_EQ(world_->get("a", "/v1/migrations/" + id)->at("gap_us"), 0);
  expect_all_answered(users.stop());
}

class SmallSlotTest : public MoveWorldTest {
 protected:
  void start_service() override {
    must(
        world_->run_redis("name: test\nlatency: {objective: 1s}\nslot: {memory: 32MiB}\n"
                          "budget: 5.0\n",
                          {}));
  }
};

// It names no limit: what it bought is its limit there.
TEST_F(SmallSlotTest, AServiceThatIsLargerThanItsLeaseStays) {
  auto users = load("a");
  const auto id = order_move("a", "b");
  EXPECT_EQ(outcome("a", id), "rolled_back");
  const auto move = world_->get("a", "/v1/migrations/" + id);
  ASSERT_TRUE(move);
  EXPECT_NE(move->at("error").as_string().find("bytes allowed"), std::string::npos)
      << move->at("error");
  EXPECT_EQ(move->at("gap_us"), 0);
  EXPECT_EQ(outcome("b", id), "aborted");
  expect_clean("b");
  expect_all_answered(users.stop());
  EXPECT_EQ(count_damaged(data_, no_poll).value(), 0);
}

// Host b says that its processor can do nothing.
class OtherProcessorTest : public MoveWorldTest {
 protected:
  void change(DemoWorldOptions& options) override {
    options.criu = criu_;
    must(write_file_atomic(criu_,
                           "#!/bin/sh\ncase \"$*\" in\n\"cpuinfo dump -D \"*/b/*) printf "
                           R"('\031\103\126\124\023\100\100\141\004\000\000\000\012\002\050\002')"
                           " > \"$4/cpuinfo.img\" ;;\n*) exec " ICON_CRIU " \"$@\" ;;\nesac\n",
                           0755));
  }
  void TearDown() override {
    MoveWorldTest::TearDown();
    std::filesystem::remove(criu_);
  }
  const std::string criu_ = "/tmp/icon-mt" + std::to_string(getpid()) + "-criu";
};

TEST_F(OtherProcessorTest, IsKnownBeforeAndRefusedBeforeTheFreeze) {
  const auto ask = [&](const std::string& about, const std::string& to) {
    return world_->get("a", about + "?to=" + address(to).to_string() + ":7946").value();
  };
  const auto b = ask("/v1/icons/redis/movable", "b");
  EXPECT_EQ(b.at("movable"), false);
  EXPECT_EQ(b.at("obstacles").as_array().size(), 0u);
  EXPECT_EQ(b.at("destination").at("has_room"), true);
  EXPECT_EQ(b.at("destination").at("known"), true);
  EXPECT_EQ(b.at("destination").at("obstacles").at(0).at("kind"), "cpu_instructions");
  EXPECT_EQ(ask("/v1/traits", "b").at("fit"), false);
  EXPECT_EQ(ask("/v1/icons/redis/movable", "c").at("movable"), true);
  EXPECT_EQ(ask("/v1/traits", "c").at("fit"), true);
  auto users = load("a");
  const auto id = order_move("a", "b");
  EXPECT_EQ(outcome("a", id), "rolled_back");
  const auto move = world_->get("a", "/v1/migrations/" + id);
  ASSERT_TRUE(move);
  EXPECT_NE(move->at("error").as_string().find("its processor lacks fpu,"), std::string::npos)
      << move->at("error");
  EXPECT_EQ(move->at("gap_us"), 0);
  expect_clean("b");
  EXPECT_EQ(outcome("a", order_move("a", "c")), "done");
  expect_all_answered(users.stop());
}

class RenewalTest : public MoveWorldTest {
 protected:
  void start_service() override {
    must(
        world_->run_redis("name: test\nlatency: {objective: 1s}\nbudget: 5.0\ninterval: 1s\n"
                          "rounds: 1\nslot: {memory: 2GiB, duration: 8s}\n",
                          {}));
  }
  std::int64_t data_values() const override { return kDataValues / 8; }
  // The first lease that `host` has sold; empty while there is none.
  json::Object sold_by(const std::string& host) const {
    const auto body = world_->get(host, "/v1/leases");
    if (!body) return {};
    for (const auto& lease : body->at("leases").as_array())
      if (lease.at("role").as_string() == "sold") return lease.as_object();
    return {};
  }
  json::Object stub_at(const std::string& host) const {
    const auto body = world_->get(host, "/v1/stubs");
    if (!body || body->at("stubs").as_array().empty()) return {};
    return body->at("stubs").as_array().at(0).as_object();
  }
};

// It stays longer than its slot, its old users' stub with it; then it leaves, and the bill is right
// on both sides.
TEST_F(RenewalTest, TheSlotIsRenewedAndTheBillIsRight) {
  auto users = load("a");
  EXPECT_EQ(outcome("a", order_move("a", "b")), "done");
  const auto first_end = sold_by("b").at("expires_ms").as_int64();
  EXPECT_TRUE(icon::test::eventually([&] {
    const auto lease = sold_by("b");
    return lease.contains("renewals") && lease.at("renewals").as_int64() >= 2 &&
           SystemClock().utc_ms() > first_end + 2'000;
  }));
  EXPECT_EQ(icon_state("b"), "running");
  EXPECT_TRUE(
      icon::test::eventually([&] { return stub_at("a").at("until_ms").as_int64() > first_end; }));
  expect_exact(users.mark("renewed"));
  EXPECT_EQ(outcome("b", order_move("b", "c")), "done");
  // The agent has the last bill, from the host that it left, through the host where it is.
  std::string leases;
  EXPECT_TRUE(icon::test::eventually([&] {
    leases = world_->run_icon("c", {"leases", "redis", "-o", "json"}).value_or("");
    return leases.find("\"state\":\"settled\"") != std::string::npos;
  })) << leases;
  EXPECT_NE(leases.find("\"dispute\":\"\""), std::string::npos) << leases;
  EXPECT_NE(leases.find("\"state\":\"here\""), std::string::npos) << leases;
  const auto receipt = sold_by("b").at("receipt").as_object().at("body").as_object();
  EXPECT_NE(leases.find("\"charged_ucredits\":" +
                        std::to_string(receipt.at("charged_ucredits").as_int64())),
            std::string::npos)
      << leases;
  // And anybody else comes to the same bill, from its ledger alone.
  const auto bills = world_->run_icon("c", {"receipts", "verify", "redis"});
  EXPECT_TRUE(bills) << bills.error().message;
  expect_all_answered(users.stop());
  EXPECT_EQ(count_damaged(data_, no_poll).value(), 0);
}

// lab/topologies/demo.yaml: origin - t1 - t2 - x1 - a1 - a2 - users-a; edge-a sells in a1's
// network, dear in t1's.
class PathTest : public MoveWorldTest {
 protected:
  void change(DemoWorldOptions& options) override {
    options.topology_text = read_file(ICON_SOURCE_DIR "/lab/topologies/demo.yaml", 1 << 16).value();
    options.origin = "origin";
    options.prices_ucredits["dear"] = 4'000'000;
  }
  void start_service() override {
    must(
        world_->run_redis("name: test\nlatency: {objective: 20ms}\nbudget: 5.0\ninterval: 1s\n"
                          "max_price: 1.0\nrounds: 1000\n",  // it looks, and stays
                          {}));
  }
  std::string client() const override { return "users-a"; }
  std::int64_t data_values() const override { return 16; }

  // What `icon path` prints at `host` once `is_there`; the agent tells its map at its own pace.
  std::string path_at(const std::string& host, const std::vector<std::string>& more,
                      const std::vector<std::string>& is_there) {
    std::vector<std::string> arguments{"path", world_->lab().users(client())->front().to_string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    std::string said;
    EXPECT_TRUE(icon::test::eventually([&] {
      const auto outcome = world_->run_icon(host, arguments);
      said = outcome ? *outcome : outcome.error().message;
      return std::all_of(is_there.begin(), is_there.end(), [&](const std::string& part) {
        return said.find(part) != std::string::npos;
      });
    })) << said;
    return said;
  }
};

TEST_F(PathTest, IsDrawnAsItWasTracedAndFollowsTheIcon) {
  auto users = load("origin");
  const auto text = path_at("origin", {}, {"access-a.test: 0.08 credits; users at "});
  std::size_t at = 0;
  for (const char* part :
       {"origin ", "redis runs here", ".t1.transit.test ", "transit.test: rejected: over_max_price",
        ".t2.transit.test ", ".x1.ixp.test ", "ixp.test: rejected: key_mismatch",
        ".a1.access-a.test ", "access-a.test: 0.08 credits; users at ", " nearer, confidence ",
        ".a2.access-a.test ", "users "}) {
    const auto found = text.find(part, at);
    ASSERT_NE(found, std::string::npos) << part << " in\n" << text;
    at = found;
  }
  const auto object = json::parse_object(path_at("origin", {"-o", "json"}, {}), 1 << 20);
  ASSERT_TRUE(object);
  EXPECT_EQ(object->at("reached"), true);
  for (const auto& hop : object->at("hops").as_array()) {
    if (hop.at("address").is_null()) continue;
    EXPECT_EQ(hop.at("back_hops"), hop.at("ttl"));  // this world's ways are the same both ways
  }
  EXPECT_NE(path_at("origin", {"-o", "dot"}, {}).find("digraph"), std::string::npos);
  EXPECT_NE(path_at("origin", {"-o", "svg"}, {}).find("</svg>"), std::string::npos);

  const auto moved = world_->run_icon(
      "origin", {"migrate", "redis", "--to", address("edge-a").to_string() + ":7946"});
  ASSERT_TRUE(moved) << moved.error().message;
  const auto old = world_->run_icon("origin", {"path", "198.51.100.1", "redis"});
  ASSERT_FALSE(old);
  EXPECT_NE(old.error().message.find("redis has moved to " + address("edge-a").to_string()),
            std::string::npos)
      << old.error().message;
  auto newcomers = load("edge-a");
  path_at("edge-a", {}, {"redis runs here", "near enough"});
  expect_all_answered(newcomers.stop());
  expect_all_answered(users.stop());
}

TEST_F(MigrationTest, ARestartedSupervisorAdoptsIconsStubsAndTunnels) {
  auto users = load("a");
  EXPECT_EQ(outcome("a", order_move("a", "b")), "done");
  for (const std::string host : {"a", "b"}) {
    must(world_->kill_supervisor(host));
    must(world_->start_supervisor(host));
  }
  wait_for_state("b", "running");
  ASSERT_TRUE(users.mark("adopted"));
  EXPECT_EQ(outcome("b", order_move("b", "c")), "done");
  expect_all_answered(users.stop());
  // Its ledger came along and went on: two moves, each with all that it took.
  std::string verified;
  EXPECT_TRUE(icon::test::eventually([&] {
    verified = world_->run_icon("c", {"ledger", "verify", "redis", "-o", "json"}).value_or("");
    return verified.find("\"order\":2") != std::string::npos &&
           verified.find("\"life\":8") != std::string::npos;
  })) << verified;
  const auto prov = world_->run_icon("c", {"ledger", "export", "--prov", "redis"});
  ASSERT_TRUE(prov) << prov.error().message;
  for (const char* activity : {"host_join", "icon_join", "checkpoint", "move"})
    EXPECT_NE(prov->find(activity), std::string::npos) << activity;
}

}  // namespace
}  // namespace icon::lab
