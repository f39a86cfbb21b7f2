// Hosts of one owner on the real kernel: what is prepared beforehand is not sent at the move, and
// who says when to move may die.
//
//   far --- ra --10 ms-- core --5 ms-- rb --- client (8 users)
//           |            |  |          |
//           a         board c          b         redis starts at a; board has the swarm's etcd
#include <signal.h>

#include "move_world.h"
#include "tests/eventually.h"

namespace icon::lab {
namespace {

using test::eventually;

constexpr const char* kTopology =
    "routers: [core, ra, rb]\n"
    "hosts: [client, far, board, a, b, c]\n"
    "links:\n"
    "  - {name: way-a, a: core, b: ra, delay_ms: 10}\n"
    "  - {name: way-b, a: core, b: rb, delay_ms: 5}\n"
    "  - {name: host-a, a: ra, b: a}\n"
    "  - {name: host-b, a: rb, b: b}\n"
    "  - {name: host-c, a: core, b: c}\n"
    "  - {name: board, a: core, b: board}\n"
    "  - {name: far, a: ra, b: far}\n"
    "  - {name: client, a: rb, b: client}\n"
    "domains:\n"
    "  - {name: core.test, nodes: [core, board]}\n"
    "  - {name: a.test, nodes: [ra, a, far]}\n"
    "  - {name: b.test, nodes: [rb, b, client]}\n"
    "  - {name: c.test, nodes: [c]}\n"
    "providers: [{node: a}, {node: b}, {node: c}]\n"
    "users:\n"
    "  - {node: client, count: 8}\n"
    "  - {node: far, count: 8}\n";

class ContinuityTest : public MoveWorldTest {
 protected:
  virtual std::string mode(const Lab&) const { return "cluster"; }
  void change(DemoWorldOptions& options) override {
    options.topology_text = kTopology;
    options.config_of = [this](const Lab& lab, const std::string& node) {
      std::string rows;
      for (const std::string other : {"a", "b", "c"})
        if (other != node)
          rows += "  - {name: " + other + ", id: " + lab.supervisor_id(other).value() +
                  ", api: \"" + lab.address(other).value().to_string() + ":7946\"}\n";
      return "providers:\n" + rows + "continuity:\n  mode: " + mode(lab) + "\n  siblings:\n  " +
             rows.substr(0, rows.find('\n') + 1) + "  " + rows.substr(rows.find('\n') + 1);
    };
  }
  std::int64_t data_values() const override { return (1 << 20) / kDataValueBytes; }

  json::Object continuity(const std::string& host) const {
    return world_->get(host, "/v1/continuity").value_or(json::Object{});
  }
  // One that is there: of the ICONs of `host`, at `sibling`.
  bool holds_standby(const std::string& host, const std::string& sibling) const {
    const auto id = world_->lab().supervisor_id(sibling).value();
    const auto all = continuity(host);
    if (!all.contains("standbys")) return false;
    for (const auto& standby : all.at("standbys").as_array())
      if (standby.at("role") == "held" && standby.at("sibling") == id.c_str() &&
          standby.at("ready").as_bool())
        return true;
    return false;
  }
  json::Object migration(const std::string& host, const std::string& id) const {
    return world_->get(host, "/v1/migrations/" + id).value_or(json::Object{});
  }
};

TEST_F(ContinuityTest, AStandbyLeavesAMoveNothingToStage) {
  ASSERT_TRUE(eventually([&] { return holds_standby("a", "b") && holds_standby("a", "c"); }));
  const auto given = continuity("b").at("standbys").as_array().at(0).as_object();
  EXPECT_EQ(given.at("role"), "given");
  const auto staged = given.at("staged_bytes").as_int64();
  EXPECT_GT(staged, 10 << 20);  // image and agent

  auto users = load("a");
  ASSERT_TRUE(world_->run_icon("a", {"hold", "redis"}));  // an operator still may
  const auto id = order_move("a", "b");
  ASSERT_EQ(outcome("a", id), "done");
  EXPECT_TRUE(world_->get("b", "/v1/icons/redis")->at("hold").as_bool());
  const auto record = migration("a", id);
  EXPECT_TRUE(record.at("standby").as_bool());
  for (const auto& phase : record.at("phases").as_array()) {
    EXPECT_NE(phase.at("name"), "image");
    if (phase.at("name") == "layer") {
      EXPECT_LT(phase.at("bytes").as_int64(), 1 << 20);
    }
  }
  EXPECT_LT(record.at("bytes").as_int64(), staged / 2);
  std::cout << "staged " << staged << " bytes, " << record.at("bytes").as_int64()
            << " in the move\n";
  // Open connections come by a, where a stub and a standby of the same ICON are now.
  ASSERT_TRUE(eventually([&] { return holds_standby("b", "a"); }));
  const auto before = users.report();
  ASSERT_TRUE(before);
  EXPECT_TRUE(eventually([&] {
    const auto now = users.report();
    return now && now->total_replies.right > before->total_replies.right + 100;
  }));
  expect_all_answered(users.stop());

  // c is killed while it keeps something: it begins with nothing, and is asked again.
  ASSERT_TRUE(eventually([&] { return holds_standby("b", "c"); }));
  must(world_->kill_supervisor("c"));
  const std::string icons = world_->lab().host_directory("c") + "/state/icons";
  EXPECT_FALSE(std::filesystem::is_empty(icons));
  must(world_->start_supervisor("c"));
  EXPECT_TRUE(eventually([&] { return std::filesystem::is_empty(icons); }));
}

class SwarmTest : public ContinuityTest {
 protected:
  std::string client() const override { return client_; }
  std::string mode(const Lab& lab) const override {
    return "swarm\n  etcd: {name: test, endpoints: [\"http://" +
           lab.address("board").value().to_string() + ":2379\"]}";
  }
  void start_service() override {
    const auto& lab = world_->lab();
    const std::string own = "http://" + lab.address("board").value().to_string();
    RunOptions run;
    run.argv = {ICON_ETCD,
                "--name",
                "board",
                "--data-dir",
                lab.host_directory("a") + "/etcd",
                "--listen-client-urls",
                own + ":2379",
                "--advertise-client-urls",
                own + ":2379",
                "--listen-peer-urls",
                own + ":2380",
                "--initial-advertise-peer-urls",
                own + ":2380",
                "--initial-cluster",
                "board=" + own + ":2380",
                "--unsafe-no-fsync"};
    auto etcd = lab.spawn("board", std::move(run));
    ASSERT_TRUE(etcd) << etcd.error().message;
    etcd_.emplace(std::move(*etcd));
    must(
        world_->run_redis("name: swarm\n"
                          "latency: {objective: 8ms, window: 2s}\n"
                          "budget: 100\n"
                          "value: 1\n"
                          "margin: 0.01\n"
                          "interval: 500ms\n"
                          "rounds: 2\n"
                          "cooldown: 0s\n"
                          "moves_per_hour: 60\n"
                          "slot: {cpu: 0.5, memory: 1GiB, bandwidth: 100Mbit, duration: 1h}\n",
                          {}));
    ASSERT_TRUE(world_->run_icon("a", {"hold", "redis"}));
  }
  void TearDown() override {
    etcd_.reset();
    MoveWorldTest::TearDown();
  }
  // The host that decides, as `host` sees it; and since when.
  std::pair<std::string, std::int64_t> orchestrator(const std::string& host) const {
    const auto all = continuity(host);
    if (!all.contains("orchestrator")) return {};
    const auto& seen = all.at("orchestrator").as_object();
    const auto found = world_->names().find(std::string(seen.at("host").as_string()));
    return {found == world_->names().end() ? "" : found->second, seen.at("term").as_int64()};
  }
  bool delegates(const std::string& host) const {
    const auto all = continuity(host);
    return all.contains("orchestrator") && all.at("orchestrator").at("delegates").as_bool();
  }

  // The move that took the ICON away from `host`; one that came to nothing is made again.
  json::Object done_move(const std::string& host) const {
    json::Object done;
    EXPECT_TRUE(eventually(
        [&] {
          for (const auto& row : migrations(host))
            if (row.at("state").as_string() == "done") done = row.as_object();
          return !done.empty();
        },
        2 * kMoveMax));
    return done;
  }

  std::string client_ = "client";
  std::optional<ChildProcess> etcd_;
};

TEST_F(SwarmTest, AnotherDecidesWhenTheOrchestratorDiesAndEachForItselfWithoutEtcd) {
  ASSERT_TRUE(eventually([&] { return !orchestrator("a").first.empty(); }));
  const auto [first, term] = orchestrator("a");
  must(world_->kill_supervisor(first));
  const std::string other = first == "c" ? "b" : "c";
  ASSERT_TRUE(eventually([&] { return orchestrator(other).second > term; }));
  EXPECT_NE(orchestrator(other).first, first);
  must(world_->start_supervisor(first));
  ASSERT_TRUE(eventually([&] { return delegates("a"); }));

  // Its users are near b: the new one sends it there.
  std::optional<LoadClient> users = load("a");
  ASSERT_TRUE(world_->run_icon("a", {"unhold", "redis"}));
  const auto sent = done_move("a");
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(migration("a", std::string(sent.at("id").as_string())).at("reason"), "operator");
  EXPECT_EQ(icon_state("b"), "running");
  expect_all_answered(users->stop());

  // No etcd, no orchestrator: the ICON follows its users by itself.
  ASSERT_TRUE(eventually([&] { return delegates("b"); }));
  etcd_->signal(SIGKILL);
  client_ = "far";
  users = load("b");
  const auto gone = done_move("b");
  ASSERT_FALSE(gone.empty());
  EXPECT_EQ(icon_state("a"), "running");
  EXPECT_FALSE(delegates("b"));
  EXPECT_NE(gone.at("reason").as_string(), "operator");
  expect_all_answered(users->stop());
}

}  // namespace
}  // namespace icon::lab
