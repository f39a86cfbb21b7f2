// The real icon-stub process: confined, adopted, updated, stopped.
#include "stub/stub_process.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <filesystem>
#include <string>

#include "base/file.h"

namespace icon::stub {
namespace {

using ::testing::HasSubstr;

template <class T>
T run(IoContext& loop, Task<T> task) {
  std::optional<T> outcome;
  boost::asio::co_spawn(loop, std::move(task), [&](std::exception_ptr exception, T value) {
    if (!exception) outcome.emplace(std::move(value));
  });
  loop.restart();
  loop.run();
  return std::move(*outcome);
}

class StubProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char directory[] = "/tmp/icst-process.XXXXXX";
    ASSERT_NE(mkdtemp(directory), nullptr);
    options_.run_directory = directory;
    options_.program = ICON_STUB_PROGRAM;
    options_.listen = *Endpoint::parse("127.0.0.1:0");
  }
  void TearDown() override { std::filesystem::remove_all(options_.run_directory); }

  std::string curl(std::uint16_t port) {
    Command command;
    command.argv = {"curl",       "-s", "-i",
                    "--max-time", "5",  "http://127.0.0.1:" + std::to_string(port) + "/a?b"};
    const auto outcome = run_command_blocking(std::move(command));
    return outcome ? outcome->output : outcome.error().message;
  }
  static Route route(std::uint16_t port, const std::string& host) {
    return {"abc", port, host, 8080, SystemClock().utc_ms() + 60'000};
  }

  IoContext loop_{1};
  StubOptions options_;
};

std::string status_line(int pid, const std::string& name) {
  const auto text = read_file("/proc/" + std::to_string(pid) + "/status", 64 << 10);
  if (!text) return text.error().message;
  const auto start = text->find("\n" + name + ":");
  return text->substr(start + 1, text->find('\n', start + 1) - start - 1);
}

TEST_F(StubProcessTest, HasNoPrivilegesLeft) {
  auto stub = run(loop_, StubProcess::start(options_));
  ASSERT_TRUE(stub) << stub.error().message;
  const int pid = stub->pid();
  EXPECT_EQ(status_line(pid, "NoNewPrivs"), "NoNewPrivs:\t1");
#if !defined(__SANITIZE_ADDRESS__)
  EXPECT_EQ(status_line(pid, "Seccomp"), "Seccomp:\t2");
#endif
  if (geteuid() == 0) {
    EXPECT_EQ(status_line(pid, "Uid"), "Uid:\t65534\t65534\t65534\t65534");
    EXPECT_EQ(status_line(pid, "Gid"), "Gid:\t65534\t65534\t65534\t65534");
    EXPECT_EQ(status_line(pid, "Groups"), "Groups:\t ");
    for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"})
      EXPECT_THAT(status_line(pid, set), HasSubstr("0000000000000000"));
    const auto root = std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/root");
    EXPECT_THAT(root.string(), HasSubstr("(deleted)"));
  }
  struct stat control {};
  ASSERT_EQ(stat((options_.run_directory + "/stub.sock").c_str(), &control), 0);
  EXPECT_EQ(control.st_mode & 0777, 0600u);
  stub->stop();
}

TEST_F(StubProcessTest, RedirectsAndFollowsASecondMove) {
  auto stub = run(loop_, StubProcess::start(options_));
  ASSERT_TRUE(stub) << stub.error().message;
  EXPECT_THAT(curl(stub->port()), HasSubstr("503 Service Unavailable"));
  ASSERT_TRUE(run(loop_, stub->set_routes({route(stub->port(), "198.51.100.1")})));
  EXPECT_THAT(curl(stub->port()), HasSubstr("Location: http://198.51.100.1:8080/a?b\r\n"));
  ASSERT_TRUE(run(loop_, stub->set_routes({route(stub->port(), "198.51.100.2")})));
  EXPECT_THAT(curl(stub->port()), HasSubstr("Location: http://198.51.100.2:8080/a?b\r\n"));
  const auto statistics = run(loop_, stub->statistics());
  ASSERT_TRUE(statistics);
  EXPECT_EQ(statistics->redirected, 2u);
  EXPECT_EQ(statistics->unavailable, 1u);
  stub->stop();
}

TEST_F(StubProcessTest, OutlivesItsHandleAndIsAdopted) {
  int pid = 0;
  std::uint16_t port = 0;
  {
    auto stub = run(loop_, StubProcess::start(options_));
    ASSERT_TRUE(stub) << stub.error().message;
    pid = stub->pid();
    port = stub->port();
    ASSERT_TRUE(run(loop_, stub->set_routes({route(port, "198.51.100.1")})));
    const auto second = run(loop_, StubProcess::start(options_));
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Code::kConflict);
  }
  EXPECT_THAT(curl(port), HasSubstr("Location: http://198.51.100.1:8080/a?b\r\n"));
  auto adopted = run(loop_, StubProcess::adopt_or_start(options_));
  ASSERT_TRUE(adopted) << adopted.error().message;
  EXPECT_EQ(adopted->pid(), pid);
  EXPECT_EQ(adopted->port(), port);
  EXPECT_TRUE(adopted->running());
  EXPECT_EQ(*read_file(options_.run_directory + "/stub.pid", 64), std::to_string(pid) + "\n");
  adopted->stop();
  EXPECT_FALSE(adopted->running());
  EXPECT_TRUE(std::filesystem::is_empty(options_.run_directory));
}

TEST_F(StubProcessTest, IsStartedAnewAfterItWasKilled) {
  auto first = run(loop_, StubProcess::start(options_));
  ASSERT_TRUE(first) << first.error().message;
  kill(first->pid(), SIGKILL);
  auto second = run(loop_, StubProcess::adopt_or_start(options_));
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_NE(second->pid(), first->pid());
  first = std::move(second);
  EXPECT_TRUE(first->running());
  first->stop();
}

TEST_F(StubProcessTest, NothingToAdoptIsNotFound) {
  const auto stub = run(loop_, StubProcess::adopt(options_));
  ASSERT_FALSE(stub);
  EXPECT_EQ(stub.error().code, Code::kNotFound);
}

TEST_F(StubProcessTest, AProgramThatDoesNotExistIsAnErrorAndLeavesNothing) {
  options_.program = "/nonexistent/icon-stub";
  const auto stub = run(loop_, StubProcess::start(options_));
  ASSERT_FALSE(stub);
  options_.program = "/bin/false";
  EXPECT_FALSE(run(loop_, StubProcess::start(options_)));
}

TEST_F(StubProcessTest, LogsItsLifeOncePerEvent) {
  options_.log_path = options_.run_directory + "/stub.log";
  auto stub = run(loop_, StubProcess::start(options_));
  ASSERT_TRUE(stub) << stub.error().message;
  curl(stub->port());
  stub->stop();
  const auto log = read_file(options_.log_path, 64 << 10);
  ASSERT_TRUE(log);
  EXPECT_EQ(std::count(log->begin(), log->end(), '\n'), 2) << *log;
  EXPECT_THAT(*log, HasSubstr("stub.ended"));
}

}  // namespace
}  // namespace icon::stub
