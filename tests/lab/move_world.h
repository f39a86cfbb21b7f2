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

#include "base/http_client.h"
#include "base/keys.h"
#include "lab/demo_data.h"
#include "lab/load_client.h"
#include "tests/lab/world_fixture.h"

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

class MoveWorldTest : public WorldTest {
 protected:
  void SetUp() override {
    DemoWorldOptions options;
    options.topology_text =
        read_file(ICON_SOURCE_DIR "/lab/topologies/three-hosts.yaml", 1 << 16).value();
    options.rootfs = ICON_REDIS_ROOTFS;
    options.origin = "a";
    change(options);
    bring_up("mt", std::move(options));
    if (HasFatalFailure()) return;
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
    // The agent buys first; that has no event of its own.
    json::Array now;
    const bool begun =
        icon::test::eventually([&] { return (now = migrations(from)).size() > before; }, kMoveMax);
    EXPECT_TRUE(begun) << "no migration began at " << from;
    return begun ? std::string(now.front().as_object().at("id").as_string()) : "";
  }

  json::Array migrations(const std::string& host) const {
    const auto body = world_->get(host, "/v1/migrations");
    return body ? body->at("migrations").as_array() : json::Array{};
  }

  // The state in which the migration ended at `host`, from its live events or, if it was quicker,
  // from the list.
  std::string outcome(const std::string& host, const std::string& id) const {
    std::string state = "still under way";
    (void)icon::test::eventually(
        [&] {
          const auto body = world_->get(host, "/v1/migrations/" + id);
          const std::string now(body ? std::string(body->at("state").as_string()) : "");
          const bool ended =
              now == "done" || now == "rolled_back" || now == "running" || now == "aborted";
          if (ended) state = now;
          return ended;
        },
        kMoveMax);
    return state;
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
    // An ICON's state after a restart has no event.
    (void)icon::test::eventually([&] { return icon_state(host) == state; }, kMoveMax);
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

  DataStore data_;
};

}  // namespace icon::lab
