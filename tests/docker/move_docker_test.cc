// A container that Docker owns, moved between two real engines with its users' connections open.
//
//   client (6 users) --- router --- a        dockerd; redis starts here, users dial a
//                        |    |
//                        b    c              b: another dockerd; c: none
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <filesystem>
#include <iostream>

#include "base/file.h"
#include "base/http_client.h"
#include "lab/demo_data.h"
#include "lab/demo_world.h"
#include "lab/load_client.h"
#include "lab/remains.h"
#include "tests/docker/docker_engine.h"
#include "tests/eventually.h"

namespace icon::test {
namespace {

using lab::DemoWorld;
using lab::DemoWorldOptions;
using lab::LoadClient;
using lab::LoadOptions;
using lab::LoadReport;
using ::testing::HasSubstr;

constexpr const char* kPolicy =
    "latency: {objective: 1s}\n"  // no moves of its own
    "slot: {memory: 2GiB}\n"
    "budget: 5.0\n";
constexpr std::int64_t kConnections = 6;
constexpr std::uint16_t kRedisPort = 6379;
constexpr std::int64_t kDataValues = (16 << 20) / lab::kDataValueBytes;
constexpr std::size_t kLogMax = 1 << 20;

class DockerMoveTest : public ::testing::Test {
 protected:
  void SetUp() override {
    DemoWorldOptions options;
    options.lab_name = "dm" + std::to_string(getpid());
    options.topology_text =
        read_file(ICON_SOURCE_DIR "/lab/topologies/three-hosts.yaml", 1 << 16).value();
    options.rootfs = image_context("redis") + "/rootfs";
    options.criu = ICON_CRIU;
    options.origin = "a";
    options.docker_sockets = {{"a", a_.socket()}, {"b", b_.socket()}};
    auto world = DemoWorld::create(std::move(options));
    ASSERT_TRUE(world) << world.error().message;
    world_.emplace(std::move(*world));
    const auto started = world_->start_supervisors([] { return Status{}; });
    ASSERT_TRUE(started) << started.error().message;
    start_engine(a_, "a");
    start_engine(b_, "b");
    build("agent", ICON_BIN_DIR);
    build("redis", image_context("redis"));
  }

  void start_engine(DockerEngine& engine, const std::string& host) {
    engine.add_runtime("icon", ICON_BIN_DIR "/icon-runc", {"--icon-socket", world_->socket(host)});
    const auto started = engine.start();
    ASSERT_TRUE(started) << started.error().message;
  }

  void TearDown() override {
    if (world_) {
      const std::string name = world_->lab().name();
      if (HasFailure())
        for (const auto& host : world_->hosts())
          std::cerr << "--- log of " << host << "\n"
                    << read_file(world_->log_file(host), kLogMax).value_or("") << "\n";
      if (HasFailure()) show_containers();
      EXPECT_TRUE(world_->down());
      world_.reset();
      EXPECT_EQ(lab::scan_lab(name).describe(), "");
    }
    for (auto* engine : {&a_, &b_}) {
      if (HasFailure())
        std::cerr << "--- engine\n"
                  << read_file(engine->directory() + "/log", kLogMax).value_or("") << "\n";
      EXPECT_EQ(engine->stop(), "");
      EXPECT_EQ(engine->remains(), "");
    }
  }

  // What has ended, and what it said last.
  void show_containers() const {
    for (const auto* engine : {&a_, &b_})
      for (const std::vector<std::string>& question :
           {std::vector<std::string>{"ps", "--all"}, {"logs", "redis"}}) {
        const auto said = engine->docker(question);
        std::cerr << "--- docker " << question.front() << "\n" << said.output << said.error_output;
      }
    for (const auto& host : world_->hosts()) {
      const std::string icons = world_->lab().host_directory(host) + "/state/icons";
      for (const auto& file : std::filesystem::recursive_directory_iterator(
               icons, std::filesystem::directory_options::skip_permission_denied))
        if (file.path().extension() == ".log" &&
            file.path().string().find("/run/log/") != std::string::npos)
          std::cerr << "--- " << file.path().string() << "\n"
                    << read_file(file.path(), kLogMax).value_or("") << "\n";
    }
  }
  void build(const std::string& name, const std::string& context) {
    a_.ask({"build", "--quiet", "--tag", "icon-" + name, "--file",
            ICON_SOURCE_DIR "/images/" + name + "/Dockerfile", context});
  }
  std::string icon(const std::string& host, const std::vector<std::string>& arguments) {
    const auto said = world_->run_icon(host, arguments);
    EXPECT_TRUE(said) << said.error().message;
    return said.value_or("");
  }
  void run_redis() {
    const std::string policy = world_->lab().host_directory("a") + "/policy.yaml";
    ASSERT_TRUE(write_file_atomic(policy, kPolicy, 0644));
    icon("a", {"run", "--runtime", "docker", "--image", "icon-redis", "--name", "redis", "--policy",
               policy, "-p", std::to_string(kRedisPort)});
  }
  void move(const std::string& from, const std::string& to) {
    icon(from,
         {"migrate", "redis", "--to", world_->lab().address(to).value().to_string() + ":7946"});
  }
  std::string icon_state(const std::string& host) const {
    const auto body = world_->get(host, "/v1/icons/redis");
    return body ? std::string(body->at("state").as_string()) : "none";
  }

  Result<LoadClient> users_of(const std::string& host) {
    LoadOptions options;
    options.target = {world_->lab().address(host).value(), kRedisPort};
    options.sources = world_->lab().users("client").value();
    options.connections = kConnections;
    Result<LoadClient> users = LoadClient::start(world_->lab(), "client", options);
    // Redis may take the first connection and have refused one just before.
    eventually([&] {
      if (users) {
        const auto report = users->report();
        if (report && report->alive == kConnections) return true;
        (void)users->stop();
      }
      users = LoadClient::start(world_->lab(), "client", options);
      return false;
    });
    return users;
  }
  // Every connection has had replies since the last mark.
  static void expect_served(Result<LoadClient>& users) {
    ASSERT_TRUE(users) << users.error().message;
    std::int64_t right = 0;
    EXPECT_TRUE(eventually([&] {
      const auto report = users->report();
      if (report) right = report->window_replies.right;
      return right >= 2 * kConnections;
    })) << right;
  }
  static void expect_exact(const Result<LoadReport>& report) {
    ASSERT_TRUE(report) << report.error().message;
    const std::string all = boost::json::serialize(report->to_json());
    EXPECT_EQ(report->alive, kConnections) << all;
    EXPECT_EQ(report->owed, 0) << all;
    EXPECT_EQ(report->total_replies.lost, 0) << all;
    EXPECT_EQ(report->total_replies.wrong, 0) << all;
    EXPECT_GT(report->total_replies.right, 0) << all;
  }

  lab::DataStore data_at(const std::string& host) const {
    return {world_->lab().netns("client"),
            world_->lab().address("client").value(),
            {world_->lab().address(host).value(), kRedisPort},
            kDataValues};
  }

  // What a person does with a container right after it came: ps, logs, exec.
  static void expect_owned(const DockerEngine& engine) {
    EXPECT_THAT(engine.ask({"ps", "--format", "{{.Names}} {{.Status}}"}), HasSubstr("redis Up"));
    EXPECT_TRUE(engine.said("redis", "Ready to accept connections")) << "from its first line";
    EXPECT_EQ(engine.ask({"exec", "redis", "redis-cli", "ping"}), "PONG");
    EXPECT_THAT(engine.ask({"top", "redis"}), HasSubstr("redis-server"));
  }

  DockerEngine a_{"a"};
  DockerEngine b_{"b"};
  std::optional<DemoWorld> world_;
};

TEST_F(DockerMoveTest, ConnectionsFollowAndDockerOwnsItAtBothEnds) {
  run_redis();
  auto users = users_of("a");
  expect_served(users);
  expect_owned(a_);
  auto data = data_at("a");
  ASSERT_TRUE(lab::write_data(data, [] { return Status{}; }));

  move("a", "b");
  EXPECT_TRUE(eventually([&] { return icon_state("a") == "moved"; }));
  auto newcomers = users_of("b");
  expect_served(newcomers);
  expect_owned(b_);
  data = data_at("b");
  EXPECT_EQ(lab::count_damaged(data, [] { return Status{}; }).value_or(-1), 0);
  EXPECT_EQ(a_.ask({"ps", "--all", "--quiet"}), "") << "the original is gone";
  expect_exact(users->stop());
  expect_exact(newcomers->stop());

  b_.ask({"stop", "--time", "20", "redis"});
  EXPECT_EQ(b_.ask({"inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "redis"}),
            "exited 0");
  EXPECT_TRUE(eventually([&] { return icon_state("b") == "stopped"; }));
  const auto stopped = world_->get("b", "/v1/icons/redis");
  ASSERT_TRUE(stopped) << stopped.error().message;
  EXPECT_EQ(stopped->at("exit_status").as_int64(), 0) << "as Docker tells it";
  icon("b", {"stop", "redis"});
  EXPECT_EQ(b_.ask({"ps", "--all", "--quiet"}), "");
}

// Somebody who knows Docker and nothing else.
TEST_F(DockerMoveTest, DockerRunMakesAnIconThatMoves) {
  std::vector<std::string> run{"run",       "--detach",
                               "--name",    "redis",
                               "--runtime", "icon",
                               "--network", "none",
                               "--env",     "ICON_NAME=redis",
                               "--env",     "ICON_PUBLISH=6379",
                               "--env",     std::string("ICON_POLICY=") + kPolicy};
  auto with_volume = run;
  with_volume.insert(with_volume.end(), {"--volume", "/tmp:/data", "icon-redis"});
  const auto refused = a_.docker(with_volume);
  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(refused.error_output, HasSubstr("a volume at /data cannot move"));
  a_.ask({"rm", "redis"});
  EXPECT_EQ(icon_state("a"), "none");

  run.push_back("icon-redis");
  a_.ask(run);
  EXPECT_EQ(icon_state("a"), "running");
  auto users = users_of("a");
  expect_served(users);
  expect_owned(a_);
  move("a", "b");
  EXPECT_TRUE(eventually([&] { return icon_state("a") == "moved"; }));
  expect_served(users);
  expect_exact(users->stop());
  expect_owned(b_);
  EXPECT_EQ(a_.ask({"ps", "--all", "--quiet"}), "");
}

// A container that knew nothing of ICONs but has the agent in its image.
TEST_F(DockerMoveTest, AnAdoptedContainerMoves) {
  a_.ask({"run", "--detach", "--name", "redis", "--network", "none", "icon-redis"});
  ASSERT_TRUE(a_.said("redis", "Ready to accept connections"));
  // It lies in the writable layer when the service starts again.
  EXPECT_EQ(a_.ask({"exec", "redis", "redis-cli", "set", "mark", "written"}), "OK");
  EXPECT_EQ(a_.ask({"exec", "redis", "redis-cli", "save"}), "OK");
  const std::string first = a_.ask({"inspect", "--format", "{{.Id}}", "redis"});
  const std::string policy = world_->lab().host_directory("a") + "/policy.yaml";
  ASSERT_TRUE(write_file_atomic(policy, kPolicy, 0644));
  std::vector<std::string> adopt{"adopt", "redis", "--policy",
                                 policy,  "-p",    std::to_string(kRedisPort)};
  // Without a yes it is only looked at.
  const auto asked = world_->run_icon("a", adopt);
  ASSERT_FALSE(asked);
  EXPECT_THAT(asked.error().message, HasSubstr("--restart"));
  EXPECT_EQ(a_.ask({"inspect", "--format", "{{.Id}} {{.State.Status}}", "redis"}),
            first + " running");
  EXPECT_EQ(icon_state("a"), "none");

  adopt.insert(adopt.end(), {"--restart", "--output", "json"});
  EXPECT_THAT(icon("a", adopt), HasSubstr(R"("name":"redis")"));
  EXPECT_EQ(icon_state("a"), "running");
  auto users = users_of("a");
  expect_served(users);
  expect_owned(a_);
  EXPECT_EQ(a_.ask({"exec", "redis", "redis-cli", "get", "mark"}), "written");
  EXPECT_EQ(a_.ask({"ps", "--all", "--format", "{{.Names}}"}), "redis");

  move("a", "b");
  EXPECT_TRUE(eventually([&] { return icon_state("a") == "moved"; }));
  expect_served(users);
  expect_exact(users->stop());
  expect_owned(b_);
  EXPECT_EQ(b_.ask({"exec", "redis", "redis-cli", "get", "mark"}), "written");
  EXPECT_EQ(a_.ask({"ps", "--all", "--quiet"}), "");
  b_.ask({"stop", "--time", "20", "redis"});
  EXPECT_TRUE(eventually([&] { return icon_state("b") == "stopped"; }));
}

// What fails after the container has been stopped leaves it running as before.
TEST_F(DockerMoveTest, AFailedAdoptionGivesTheContainerBack) {
  a_.ask({"run", "--detach", "--name", "redis", "--network", "none", "icon-redis"});
  ASSERT_TRUE(a_.said("redis", "Ready to accept connections"));
  a_.ask({"create", "--name", "redis.before-icon", "--network", "none", "icon-redis"});
  const auto failed = world_->run_icon("a", {"adopt", "redis", "--restart"});
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("runs again"));
  EXPECT_EQ(a_.ask({"inspect", "--format", "{{.State.Status}}", "redis"}), "running");
  EXPECT_EQ(icon_state("a"), "none");
}

// b has Docker, c has not: there the same ICON is the supervisor's alone. Then it comes home.
TEST_F(DockerMoveTest, GoesRoundByAHostWithoutDocker) {
  run_redis();
  auto users = users_of("a");
  expect_served(users);
  // A new supervisor takes up what Docker's shim kept alive.
  ASSERT_TRUE(world_->kill_supervisor("a"));
  ASSERT_TRUE(world_->start_supervisor("a"));
  EXPECT_TRUE(eventually([&] { return icon_state("a") == "running"; }));
  const std::vector<std::string> way{"a", "c", "b", "a"};
  for (std::size_t i = 0; i + 1 < way.size(); ++i) {
    move(way[i], way[i + 1]);
    EXPECT_TRUE(eventually([&] { return icon_state(way[i]) == "moved"; })) << way[i];
    expect_served(users);
  }
  expect_exact(users->stop());
  EXPECT_EQ(b_.ask({"ps", "--all", "--quiet"}), "");
  expect_owned(a_);
}

// The destination's supervisor dies while Docker holds a place for what never comes.
TEST_F(DockerMoveTest, AKilledDestinationLeavesNothingAtItsEngine) {
  run_redis();
  auto users = users_of("a");
  expect_served(users);
  http::UnixRequest order;
  order.socket_path = world_->socket("a");
  order.method = "POST";
  order.target = "/v1/icons/redis/migrate";
  order.body = R"({"to":")" + world_->lab().address("b").value().to_string() + R"(:7946"})";
  ASSERT_TRUE(http::request_blocking(order));
  ASSERT_TRUE(eventually([&] { return b_.ask({"ps", "--all", "--quiet"}) != ""; }));
  ASSERT_TRUE(world_->kill_supervisor("b"));
  EXPECT_TRUE(eventually([&] { return icon_state("a") == "running"; }));
  ASSERT_TRUE(world_->start_supervisor("b"));
  EXPECT_TRUE(eventually([&] { return b_.ask({"ps", "--all", "--quiet"}) == ""; }));
  expect_served(users);
  expect_exact(users->stop());
  expect_owned(a_);
  EXPECT_TRUE(std::filesystem::is_empty(world_->lab().host_directory("b") + "/state/icons"));
}

// A start that is not the supervisor's wish is refused; a container that is no ICON is runc's.
TEST_F(DockerMoveTest, TheRuntimeIsRuncForAllOthers) {
  const auto plain = a_.docker({"run", "--rm", "--runtime", "icon", "--network", "none",
                                "icon-agent", "/icon-agent", "--version"});
  EXPECT_TRUE(plain.ok()) << plain.error_output;
  EXPECT_THAT(plain.output, HasSubstr("icon-agent "));
  run_redis();
  ASSERT_TRUE(a_.said("redis", "Ready to accept connections"));
  a_.ask({"stop", "--time", "20", "redis"});
  EXPECT_TRUE(eventually([&] { return icon_state("a") == "stopped"; }));
  const auto again = a_.docker({"start", "redis"});
  EXPECT_FALSE(again.ok());
  EXPECT_THAT(again.error_output, HasSubstr("icon run makes a new one"));
}

}  // namespace
}  // namespace icon::test
