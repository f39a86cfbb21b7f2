// When the name is looked at again, and what becomes of an update that something else ends. The
// children are real processes; what they say of the server is the test's.
#include "agent/dns_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/json/serialize.hpp>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "agent/dns_update.h"
#include "base/file.h"

namespace icon::agent {
namespace {

const Address kHere = *Address::parse("192.0.2.1");

class DnsKeeperTest : public ::testing::Test {
 protected:
  DnsKeeperTest() {
    DnsUpdatePolicy update;
    update.server = *Endpoint::parse("192.0.2.53:53");
    update.zone = "dyn.test";
    update.name = "www.dyn.test";
    update.own = DnsUpdatePolicy::Own::kReplace;
    policy_ = update;
    char directory[] = "/tmp/icon-dns-keeper.XXXXXX";
    directory_ = mkdtemp(directory);
    keeper_.emplace(DnsKeeperParts{
        loop_, clock_, tasks_, policy_, directory_,
        [this](const auto&, auto on_exit) { return run_child(std::move(on_exit)); }});
    keeper_->open();
  }
  ~DnsKeeperTest() override {
    for (auto& waiter : waiters_) waiter.join();
    std::filesystem::remove_all(directory_);
  }

  // Of the children that follow: one ends at once with `code`, or waits until it is killed.
  void next_says(const std::string& code) {
    hangs_ = false;
    says_ = code;
  }
  void next_hangs() { hangs_ = true; }

  void keep(bool leaving = false) { keeper_->keep({kHere, 0, {}, leaving}, "me"); }
  std::string state() const { return std::string(keeper_->status_json().at("state").as_string()); }
  // Runs the loop until `done`.
  void run_until(const std::function<bool()>& done) {
    const auto work = boost::asio::make_work_guard(loop_);
    while (!done()) loop_.run_one();
  }
  void run_until_idle() {
    run_until([&] { return tasks_.empty(); });
  }
  // A child that hangs has been started.
  void start_hanging(bool leaving = false) {
    next_hangs();
    const int before = started_;
    keep(leaving);
    run_until([&] { return started_ > before; });
  }

  Result<pid_t> run_child(std::function<void(int status)> on_exit) {
    DnsOutcome outcome;
    outcome.code = says_;
    EXPECT_TRUE(write_file_atomic(directory_ + kDnsOutcomeFile,
                                  boost::json::serialize(outcome.to_json()), 0600));
    const bool hangs = hangs_;
    const pid_t pid = fork();
    if (pid == 0) {
      while (hangs) pause();
      _exit(0);
    }
    child_ = pid;
    ++started_;
    waiters_.emplace_back([this, pid, on_exit = std::move(on_exit)] {
      int status = 0;
      EXPECT_EQ(waitpid(pid, &status, 0), pid);
      boost::asio::post(loop_, [on_exit, status] { on_exit(status); });
    });
    return pid;
  }

  FakeClock clock_;
  IoContext loop_{1};
  TaskGroup tasks_{loop_};
  std::optional<DnsUpdatePolicy> policy_;
  std::string directory_;
  std::optional<DnsKeeper> keeper_;
  bool hangs_ = false;
  std::string says_;
  pid_t child_ = -1;
  int started_ = 0;
  std::vector<std::thread> waiters_;
};

TEST_F(DnsKeeperTest, LooksAgainSoonWhenItFailedAndLaterWhenAllIsWell) {
  next_says("refused");
  keep();
  run_until_idle();
  EXPECT_EQ(state(), "failing");
  clock_.advance(kDnsRetryFirst - Millis(1));
  keep();
  EXPECT_TRUE(tasks_.empty());
  next_says("");
  clock_.advance(Millis(1));
  keep();
  run_until_idle();
  EXPECT_EQ(state(), "ok");
  EXPECT_EQ(started_, 2);
  clock_.advance(kDnsAgain - Millis(1));
  keep();
  EXPECT_TRUE(tasks_.empty());
  clock_.advance(Millis(1));
  keep();
  EXPECT_FALSE(tasks_.empty());
  run_until_idle();
}

// A freeze, or a round that is given up: that says nothing of the server.
TEST_F(DnsKeeperTest, WhatWasCancelledIsDueAtOnceAndNoFailure) {
  start_hanging();
  tasks_.cancel();
  run_until_idle();
  EXPECT_EQ(state(), "pending");
  EXPECT_EQ(keeper_->status_json().at("failures").as_int64(), 0);
  next_says("");
  keep();
  run_until_idle();
  EXPECT_EQ(state(), "ok");
}

// As the end of a service does it, when a round is under way.
TEST_F(DnsKeeperTest, TheLastWishIsBegunAgainWhenItIsCancelledBeforeItHasBegun) {
  next_says("");
  keep();
  run_until_idle();
  keep(/*leaving=*/true);
  tasks_.cancel();
  bool has_left = false;
  keeper_->finish([&] { has_left = true; });
  run_until([&] { return has_left; });
  EXPECT_EQ(state(), "ok");
  EXPECT_EQ(keeper_->status_json().at("wanted").as_array().size(), 0U);
  run_until_idle();
}

TEST_F(DnsKeeperTest, TheLastWishIsBegunAgainWhenItIsCancelled) {
  next_says("");
  keep();
  run_until_idle();
  start_hanging(/*leaving=*/true);
  bool has_left = false;
  tasks_.cancel();
  keeper_->finish([&] { has_left = true; });
  next_says("");
  run_until([&] { return has_left; });
  EXPECT_EQ(state(), "ok");
  EXPECT_EQ(started_, 3);
  run_until_idle();
}

TEST_F(DnsKeeperTest, TheLastWishComesAfterAnUpdateThatFails) {
  start_hanging();
  keep(/*leaving=*/true);
  bool has_left = false;
  keeper_->finish([&] { has_left = true; });
  next_says("");
  EXPECT_EQ(kill(child_, SIGKILL), 0);
  run_until([&] { return has_left; });
  EXPECT_EQ(state(), "ok");
  EXPECT_EQ(started_, 2);
  run_until_idle();
}

// A server that says no holds up nobody's end.
TEST_F(DnsKeeperTest, NobodyWaitsForAServerThatFailsAnyway) {
  next_says("unreachable");
  keep();
  run_until_idle();
  bool has_left = false;
  keeper_->finish([&] { has_left = true; });
  EXPECT_TRUE(has_left);
}

}  // namespace
}  // namespace icon::agent
