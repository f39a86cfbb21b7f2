// Services that the project has never seen, run and moved by the commands that a person types, with
// their users' connections open.
//
//   client (6 users) --- router --- a        the service starts at a; users dial a
//                        |    |
//                        b    c
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <iostream>
#include <thread>

#include "base/file.h"
#include "lab/load_client.h"
#include "tests/lab/world_fixture.h"

namespace icon::lab {
namespace {

constexpr const char* kPolicy =
    "latency: {objective: 1s}\n"  // no moves of its own
    "slot: {memory: 2GiB}\n"
    "budget: 5.0\n";

constexpr std::int64_t kConnections = 6;
constexpr Millis kServedMax{20'000};
constexpr Millis kStep{20};

struct Service {
  std::string name;
  std::string rootfs;
  std::uint16_t port;
  std::string protocol;  // what icon-lab-load speaks with it
  std::vector<std::string> command;
  std::int64_t user = 0;  // and group
};

void PrintTo(const Service& service, std::ostream* stream) { *stream << service.name; }

class ServicesTest : public WorldTest, public ::testing::WithParamInterface<Service> {
 protected:
  void SetUp() override {
    DemoWorldOptions options;
    options.topology_text =
        read_file(ICON_SOURCE_DIR "/lab/topologies/three-hosts.yaml", 1 << 16).value();
    options.rootfs = GetParam().rootfs;
    options.origin = "a";
    bring_up("st", std::move(options));
  }

  std::string icon(const std::string& host, const std::vector<std::string>& arguments) {
    const auto said = world_->run_icon(host, arguments);
    EXPECT_TRUE(said) << said.error().message;
    return said.value_or("");
  }

  // Tries until the service listens: it tells nobody when it is ready.
  Result<LoadClient> users_of(const std::string& host) {
    LoadOptions options;
    options.target = {address(host), GetParam().port};
    options.sources = world_->lab().users("client").value();
    options.connections = kConnections;
    options.protocol.name = GetParam().protocol;
    const auto deadline = std::chrono::steady_clock::now() + kServedMax;
    for (;;) {
      auto users = LoadClient::start(world_->lab(), "client", options);
      if (std::chrono::steady_clock::now() > deadline) return users;
      // It may have refused one connection and taken the next.
      const auto report = users ? users->report() : Result<LoadReport>(fail(users.error()));
      if (report && report->alive == kConnections) return users;
      if (users) (void)users->stop();
      std::this_thread::sleep_for(kStep);
    }
  }

  // Every connection has had replies since the last mark.
  static void expect_served(Result<LoadClient>& users) {
    ASSERT_TRUE(users) << users.error().message;
    const auto deadline = std::chrono::steady_clock::now() + kServedMax;
    std::int64_t right = 0;
    while (right < 2 * kConnections && std::chrono::steady_clock::now() < deadline) {
      const auto report = users->report();
      ASSERT_TRUE(report) << report.error().message;
      right = report->window_replies.right;
      std::this_thread::sleep_for(kStep);
    }
    EXPECT_GE(right, 2 * kConnections);
  }

  static void expect_exact(const Result<LoadReport>& report) {
    ASSERT_TRUE(report) << report.error().message;
    const std::string all = boost::json::serialize(report->to_json());
    EXPECT_EQ(report->alive, kConnections) << all;
    EXPECT_EQ(report->owed, 0) << all;
    EXPECT_EQ(report->total_replies.lost, 0);
    EXPECT_EQ(report->total_replies.duplicated, 0);
    EXPECT_EQ(report->total_replies.reordered, 0);
    EXPECT_EQ(report->total_replies.wrong, 0);
    EXPECT_GT(report->total_replies.right, 0);
  }
};

// As people who have containers have them: the bundle says whose the service is.
Result<std::string> bundle_of(const Service& service, const std::string& directory) {
  namespace json = boost::json;
  const json::object config{
      {"process",
       json::object{{"args", json::array(service.command.begin(), service.command.end())},
                    {"cwd", "/"},
                    {"user", json::object{{"uid", service.user}, {"gid", service.user}}}}},
      {"root", json::object{{"path", service.rootfs}}}};
  ICON_CHECK(make_directories(directory));
  ICON_CHECK(write_file_atomic(directory + "/config.json", json::serialize(config), 0644));
  return directory;
}

TEST_P(ServicesTest, MovesThereAndBackWithOpenConnections) {
  const auto& service = GetParam();
  const std::string policy = world_->lab().host_directory("a") + "/policy.yaml";
  ASSERT_TRUE(write_file_atomic(policy, kPolicy, 0644));
  const auto bundle = bundle_of(service, world_->lab().host_directory("a") + "/bundle");
  ASSERT_TRUE(bundle) << bundle.error().message;
  icon("a", {"run", "--name", service.name, "--bundle", *bundle, "--policy", policy, "-p",
             std::to_string(service.port)});
  auto users = users_of("a");
  expect_served(users);
  icon("a", {"migrate", service.name, "--to", address("b").to_string() + ":7946"});
  auto newcomers = users_of("b");
  expect_served(newcomers);
  icon("b", {"migrate", service.name, "--to", address("a").to_string() + ":7946"});
  auto returned = users_of("a");
  expect_served(returned);
  // All three kinds at once: of before the first move, of between the two, of now.
  for (auto* each : {&users, &newcomers, &returned}) {
    ASSERT_TRUE(*each && (*each)->mark("home again"));
    expect_served(*each);
  }
  expect_exact(users->stop());
  expect_exact(newcomers->stop());
  expect_exact(returned->stop());
}

INSTANTIATE_TEST_SUITE_P(
    , ServicesTest,
    ::testing::Values(Service{"nginx",
                              ICON_IMAGES_DIR "/nginx/rootfs",
                              8080,
                              "http",
                              {"/usr/sbin/nginx", "-c", "/etc/nginx/icon.conf"}},
                      Service{
                          "python_as_1000",
                          ICON_SERVICE_ROOTS "/python",
                          8000,
                          "http",
                          {"/usr/bin/python3", "-m", "http.server", "--protocol", "HTTP/1.1",
                           "--directory", "/srv", "8000"},
                          1000,
                      },
                      Service{"memcached",
                              ICON_SERVICE_ROOTS "/memcached",
                              11211,
                              "memcached",
                              {"/usr/bin/memcached", "-u", "nobody"}}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace icon::lab
