// The world of the tests of moves, and what they ask of it:
//
//   client (8 users) --- router --- a        redis starts at a; users dial a
//                        |    |
//                        b    c
#pragma once

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>
#include <thread>

#include "base/file.h"
#include "base/http_client.h"
#include "base/keys.h"
#include "lab/demo_data.h"
#include "lab/demo_world.h"
#include "lab/load_client.h"
#include "lab/remains.h"

namespace icon::lab {

inline constexpr const char* kPolicy =
    "name: test\n"
    "latency: {objective: 1s}\n"  // no moves of its own
    "slot: {memory: 2GiB}\n"
    "budget: 5.0\n";
inline constexpr std::int64_t kDataValues = (48 << 20) / kDataValueBytes;
inline constexpr Millis kMoveMax{60'000};
inline constexpr Millis kStep{20};

inline void must(const Status& status) {
  ASSERT_TRUE(status) << (status ? "" : status.error().message);
}

inline Status no_poll() { return {}; }

class MoveWorldTest : public ::testing::Test {
 protected:
  void SetUp() override {
    DemoWorldOptions options;
    options.lab_name = "mt" + std::to_string(getpid());
    options.topology_text =
        read_file(ICON_SOURCE_DIR "/lab/topologies/three-hosts.yaml", 1 << 16).value();
    options.rootfs = ICON_REDIS_ROOTFS;
    options.criu = ICON_CRIU;
    options.origin = "a";
    change(options);
    auto world = DemoWorld::create(std::move(options));
    ASSERT_TRUE(world) << world.error().message;
    world_.emplace(std::move(*world));
    must(world_->start_supervisors(no_poll));
    start_service();
    data_ = {world_->lab().netns(client()),
             world_->lab().address(client()).value(),
             {address(world_->options().origin), kRedisPort},
             data_values()};
    must(wait_for_redis(data_, [](std::int64_t ms) -> Status {
      std::this_thread::sleep_for(Millis(ms));  // redis tells nobody when it is ready
      return {};
    }));
    must(write_data(data_, no_poll));
  }

  // For worlds that differ.
  virtual void change(DemoWorldOptions&) {}
  virtual void start_service() { must(world_->run_redis(kPolicy, {})); }
  virtual std::string client() const { return "client"; }  // where the users are
  virtual std::int64_t data_values() const { return kDataValues; }

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
    options.sources = world_->lab().users(client()).value();
    options.connections = 8;
    auto users = LoadClient::start(world_->lab(), client(), options);
    EXPECT_TRUE(users) << users.error().message;
    return std::move(*users);
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

  // Whatever became of the move, both sides agree on it and one copy runs: at `here`, which is
  // where it went when it moved. Whether it did.
  bool expect_one_copy(const std::string& id, std::string& here, std::string& there) {
    const auto end = outcome(here, id);
    const auto end_there = outcome(there, id);
    const bool has_moved = end == "done";
    if (has_moved) {
      EXPECT_EQ(end_there, "running");
      std::swap(here, there);
    } else {
      EXPECT_EQ(end, "rolled_back");
      EXPECT_EQ(end_there, "aborted");
    }
    wait_for_state(here, "running");
    EXPECT_NE(icon_state(there), "running");
    return has_moved;
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

}  // namespace icon::lab
