// The host of an ICON in the hands of a test: a supervisor's socket whose answers a test gives, on
// the loop that the test runs itself.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <memory>
#include <string>
#include <utility>

#include "agent/task_group.h"
#include "base/http_server.h"

namespace icon::agent {

class ScriptedHost {
 public:
  ScriptedHost(IoContext& loop, std::string path) : loop_(loop), path_(std::move(path)) {}
  ~ScriptedHost() { end(); }

  void on(std::string method, std::string pattern, http::Handler handler) {
    router_.on(std::move(method), std::move(pattern), std::move(handler));
  }
  // From here on nothing is added.
  void begin() {
    auto server = http::serve_unix(loop_, path_, 0600, "icon", router_, http::Limits{});
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
  }
  void end() {
    if (!server_) return;
    server_->stop();
    loop_.restart();
    while (loop_.poll_one() > 0) continue;
    server_.reset();
  }
  // Of a host that is gone: the caller's limit ends it.
  static Task<void> silence() {
    boost::asio::steady_timer never(co_await boost::asio::this_coro::executor, SteadyTime::max());
    co_await never.async_wait(boost::asio::use_awaitable);
  }

 private:
  IoContext& loop_;
  std::string path_;
  http::Router router_;
  std::unique_ptr<http::Server> server_;
};

template <class Condition>
bool run_until(IoContext& loop, Condition condition, Millis limit = Millis(20'000)) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    loop.restart();
    loop.run_one_for(Millis(100));
  }
  return true;
}

// A process ends: nothing of it may be under way when its memory goes.
inline void end_tasks(IoContext& loop, TaskGroup& tasks) {
  tasks.cancel();
  loop.restart();
  while (!tasks.empty()) loop.run_one();
  while (loop.poll_one() > 0) continue;  // what they have left in the queue
}

}  // namespace icon::agent
