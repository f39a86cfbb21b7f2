// Whole-system tests of moves: supervisors, agents, CRIU, tunnels and redis on the real kernel.
//
//   client (8 users) --- router --- a        redis starts at a; users dial a
//                        |    |
//                        b    c
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <filesystem>
#include <regex>
#include <thread>

#include "base/file.h"
#include "base/http_client.h"
#include "base/keys.h"
#include "lab/demo_data.h"
#include "lab/demo_world.h"
#include "lab/load_client.h"
#include "lab/remains.h"

namespace icon::lab {
namespace {

constexpr const char* kPolicy =
    "name: test\n"
    "latency: {objective: 1s}\n"  // no moves of its own
    "budget: 5.0\n";
constexpr std::int64_t kDataValues = (48 << 20) / kDataValueBytes;
constexpr Millis kMoveMax{60'000};
constexpr Millis kStep{20};

void must(const Status& status) { ASSERT_TRUE(status) << (status ? "" : status.error().message); }

Status no_poll() { return {}; }

class MigrationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    DemoWorldOptions options;
    options.lab_name = "mt" + std::to_string(getpid());
    options.topology_text =
        read_file(ICON_SOURCE_DIR "/lab/topologies/three-hosts.yaml", 1 << 16).value();
    options.rootfs = ICON_REDIS_ROOTFS;
    options.criu = ICON_CRIU;
    options.origin = "a";
    auto world = DemoWorld::create(std::move(options));
    ASSERT_TRUE(world) << world.error().message;
    world_.emplace(std::move(*world));
    must(world_->start_supervisors(no_poll));
    must(world_->run_redis(kPolicy, {}));
    data_ = {world_->lab().netns("client"),
             world_->lab().address("client").value(),
             {address("a"), kRedisPort},
             kDataValues};
    must(wait_for_redis(data_, [](std::int64_t ms) -> Status {
      std::this_thread::sleep_for(Millis(ms));  // redis tells nobody when it is ready
      return {};
    }));
    must(write_data(data_, no_poll));
  }

  void TearDown() override {
    if (!world_) return;
    const std::string name = world_->lab().name();
    const bool failed = HasFailure();
    if (failed)
      for (const auto& host : world_->hosts()) {
        std::cerr << "--- log of " << host << "\n"
                  << read_file(world_->log_file(host), 1 << 20).value_or("") << "\n";
        std::error_code error;
        const std::string icons = world_->lab().host_directory(host) + "/state/icons";
        for (const auto& icon : std::filesystem::directory_iterator(icons, error))
          std::cerr << "--- the agent at " << host << "\n"
                    << read_file(icon.path().string() + "/run/log/agent.log", 1 << 20).value_or("")
                    << "\n";
      }
    EXPECT_TRUE(world_->down());
    world_.reset();
    EXPECT_EQ(scan_lab(name).describe(), "");
  }

  Address address(const std::string& node) const { return world_->lab().address(node).value(); }

  LoadClient load(const std::string& host) {
    LoadOptions options;
    options.target = {address(host), kRedisPort};
    options.sources = world_->lab().users("client").value();
    options.connections = 8;
    auto client = LoadClient::start(world_->lab(), "client", options);
    EXPECT_TRUE(client) << client.error().message;
    return std::move(*client);
  }

  // Every reply came, once, in order and right; while users go on, some are still under way.
  static void expect_exact(const Result<LoadReport>& report) {
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->alive, report->connections) << boost::json::serialize(report->to_json());
    EXPECT_EQ(report->total_replies.lost, 0);
    EXPECT_EQ(report->total_replies.duplicated, 0);
    EXPECT_EQ(report->total_replies.reordered, 0);
    EXPECT_EQ(report->total_replies.wrong, 0);
    EXPECT_GT(report->total_replies.right, 0);
  }

  static void expect_all_answered(const Result<LoadReport>& report) {
    expect_exact(report);
    EXPECT_EQ(report->owed, 0);
  }

  // Orders a move as `icon migrate` does; the id of the migration at `from`.
  std::string order_move(const std::string& from, const std::string& to) {
    const std::size_t before = migrations(from).size();
    http::UnixRequest request;
    request.socket_path = world_->socket(from);
    request.method = "POST";
    request.target = "/v1/icons/redis/migrate";
    request.body = R"({"to":")" + address(to).to_string() + R"(:7946"})";
    const auto answer = http::request_blocking(request);
    EXPECT_TRUE(answer && answer->status == 202) << (answer ? answer->body : "no answer");
    const auto deadline = std::chrono::steady_clock::now() + kMoveMax;
    while (std::chrono::steady_clock::now() < deadline) {
      const auto now = migrations(from);
      if (now.size() > before) return std::string(now.front().as_object().at("id").as_string());
      std::this_thread::sleep_for(kStep);  // the agent buys first; that has no event of its own
    }
    ADD_FAILURE() << "no migration began at " << from;
    return {};
  }

  json::Array migrations(const std::string& host) const {
    const auto body = world_->get(host, "/v1/migrations");
    return body ? body->at("migrations").as_array() : json::Array{};
  }

  // The state in which the migration ended at `host`, from its live events or, if it was quicker,
  // from the list.
  std::string outcome(const std::string& host, const std::string& id) const {
    const auto deadline = std::chrono::steady_clock::now() + kMoveMax;
    while (std::chrono::steady_clock::now() < deadline) {
      const auto body = world_->get(host, "/v1/migrations/" + id);
      if (body) {
        const std::string state(body->at("state").as_string());
        if (state == "done" || state == "rolled_back" || state == "running" || state == "aborted")
          return state;
      }
      std::this_thread::sleep_for(kStep);
    }
    return "still under way";
  }

  // Returns when `phase` has begun at `host`.
  void wait_for_phase(const std::string& host, const std::string& id, const std::string& phase) {
    http::UnixRequest request;
    request.socket_path = world_->socket(host);
    request.target = "/v1/migrations/" + id + "/events";
    bool seen = false;
    (void)http::stream_lines_blocking(request, kMoveMax, [&](std::string_view line) {
      seen = line.find("\"" + phase + "\"") != std::string_view::npos;
      return !seen;
    });
    EXPECT_TRUE(seen) << phase;
  }

  std::string icon_state(const std::string& host) const {
    const auto body = world_->get(host, "/v1/icons/redis");
    return body ? std::string(body->at("state").as_string()) : "none";
  }

  void wait_for_state(const std::string& host, const std::string& state) const {
    const auto deadline = std::chrono::steady_clock::now() + kMoveMax;
    while (icon_state(host) != state && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(kStep);  // an ICON's state after a restart has no event
    EXPECT_EQ(icon_state(host), state);
  }

  // After a move that did not happen: nothing of the ICON is left at `host`.
  void expect_clean(const std::string& host) const {
    const std::string icons = world_->lab().host_directory(host) + "/state/icons";
    EXPECT_TRUE(!std::filesystem::exists(icons) || std::filesystem::is_empty(icons)) << icons;
    const std::string checkpoints = world_->lab().host_directory(host) + "/run/checkpoints";
    EXPECT_TRUE(!std::filesystem::exists(checkpoints) || std::filesystem::is_empty(checkpoints));
    const auto id = world_->lab().supervisor_id(host).value();
    for (const auto& entry : std::filesystem::directory_iterator("/run/netns"))
      EXPECT_NE(entry.path().filename().string().rfind("icon-" + short_id(id) + "-", 0), 0u)
          << entry.path();
  }

  std::optional<DemoWorld> world_;
  DataStore data_;
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
}

TEST_F(MigrationTest, TheDestinationsSupervisorDiesDuringTheTransfer) {
  auto users = load("a");
  const auto id = order_move("a", "b");
  wait_for_phase("a", id, "transfer");
  must(world_->kill_supervisor("b"));
  EXPECT_EQ(outcome("a", id), "rolled_back");
  EXPECT_EQ(icon_state("a"), "running");
  expect_exact(users.mark("after"));
  must(world_->start_supervisor("b"));
  EXPECT_EQ(outcome("b", id), "aborted");
  expect_clean("b");
  // And once more, now that everybody is well.
  EXPECT_EQ(outcome("a", order_move("a", "b")), "done");
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
      const auto end = outcome(here, id);
      const auto end_there = outcome(there, id);
      if (end == "done") {
        EXPECT_EQ(end_there, "running");
        std::swap(here, there);
        users.push_back(load(here));
      } else {
        EXPECT_EQ(end, "rolled_back");
        EXPECT_EQ(end_there, "aborted");
      }
      wait_for_state(here, "running");
      EXPECT_NE(icon_state(there), "running");
      for (auto& user : users) expect_exact(user.mark("after"));
      if (HasFailure()) return;
    }
  }
  for (auto& user : users) expect_all_answered(user.stop());
  EXPECT_EQ(count_damaged(data_, no_poll).value(), 0);
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
}

}  // namespace
}  // namespace icon::lab
