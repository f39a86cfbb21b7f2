#include "base/subprocess.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include "base/orphans.h"

namespace icon {
namespace {

CommandOutcome run(std::vector<std::string> argv, std::string input = {}) {
  Command command;
  command.argv = std::move(argv);
  command.input = std::move(input);
  auto outcome = run_command_blocking(std::move(command));
  EXPECT_TRUE(outcome) << outcome.error().message;
  return outcome ? *outcome : CommandOutcome{};
}

Command shell(const std::string& script) {
  Command command;
  command.argv = {"/bin/sh", "-c", script};
  return command;
}

TEST(Subprocess, InputOutputAndStatus) {
  const auto outcome = run({"sh", "-c", "cat; echo problem >&2; exit 3"}, "hello");
  EXPECT_EQ(outcome.output, "hello");
  EXPECT_EQ(outcome.error_output, "problem\n");
  EXPECT_EQ(outcome.exit_status, 3);
  EXPECT_FALSE(outcome.ok());
}

TEST(Subprocess, NoShellInBetween) {
  EXPECT_EQ(run({"printf", "%s", "$(id); `id` | > x"}).output, "$(id); `id` | > x");
}

TEST(Subprocess, LargeInputAndOutputDoNotBlockEachOther) {
  const std::string large(4 << 20, 'x');
  Command command;
  command.argv = {"cat"};
  command.input = large;
  command.output_bytes_max = large.size();
  EXPECT_EQ(run_command_blocking(std::move(command))->output.size(), large.size());
}

TEST(Subprocess, OutputIsBounded) {
  auto command = shell("head -c 100000 /dev/zero; head -c 100000 /dev/zero >&2");
  command.output_bytes_max = 1000;
  const auto outcome = run_command_blocking(std::move(command));
  ASSERT_TRUE(outcome);
  EXPECT_TRUE(outcome->ok());
  EXPECT_EQ(outcome->output.size(), 1000u);
  EXPECT_EQ(outcome->error_output.size(), 1000u);
}

TEST(Subprocess, AProgramThatDoesNotExist) {
  Command command;
  command.argv = {"icon-no-such-program"};
  EXPECT_EQ(run_command_blocking(command).error().code, Code::kNotFound);
  command.argv = {"/etc/passwd"};
  EXPECT_EQ(run_command_blocking(command).error().code, Code::kRefused);
}

TEST(Subprocess, DeathBySignalIsAStatus) {
  EXPECT_EQ(run({"sh", "-c", "kill -9 $$"}).exit_status, 137);
}

TEST(Subprocess, TheLimitKills) {
  auto command = shell("exec sleep 1000");
  command.timeout = Millis{50};
  const auto begin = std::chrono::steady_clock::now();
  const auto outcome = run_command_blocking(std::move(command));
  EXPECT_EQ(outcome.error().code, Code::kTimeout);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

TEST(Subprocess, SignalMaskAndPipeSignalAreTheDefaults) {
  sigset_t blocked;
  sigset_t before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  sigaddset(&blocked, SIGUSR1);
  sigprocmask(SIG_BLOCK, &blocked, &before);
  const auto status = run({"cat", "/proc/self/status"}).output;
  sigprocmask(SIG_SETMASK, &before, nullptr);
  EXPECT_NE(status.find("SigBlk:\t0000000000000000"), std::string::npos) << status;
}

TEST(Subprocess, OnlyNamedDescriptorsAreInherited) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  auto command = shell("echo through >&7; ls /proc/self/fd | tr '\\n' ' '");
  command.inherit = {{writing.get(), 7}};
  const auto outcome = run_command_blocking(std::move(command));
  ASSERT_TRUE(outcome);
  writing.reset();
  char text[32];
  const auto count = read(reading.get(), text, sizeof text);
  EXPECT_EQ(std::string(text, count > 0 ? static_cast<std::size_t>(count) : 0), "through\n");
  // 3 is ls's own, of the directory.
  EXPECT_EQ(outcome->output, "0 1 2 3 7 ");
}

// The numbers a child gets may be the very numbers that others of ours have.
TEST(Subprocess, InheritedNumbersMayCross) {
  int first[2];
  int second[2];
  ASSERT_EQ(pipe2(first, O_CLOEXEC), 0);
  ASSERT_EQ(pipe2(second, O_CLOEXEC), 0);
  UniqueFd first_read(first[0]), first_write(first[1]);
  UniqueFd second_read(second[0]), second_write(second[1]);
  Command command = shell("echo one >&" + std::to_string(second_write.get()) + "; echo two >&" +
                          std::to_string(first_write.get()));
  command.inherit = {{first_write.get(), second_write.get()},
                     {second_write.get(), first_write.get()}};
  ASSERT_TRUE(run_command_blocking(std::move(command))->ok());
  char text[8];
  ASSERT_EQ(read(first_read.get(), text, sizeof text), 4);
  EXPECT_EQ(std::string(text, 4), "one\n");
  ASSERT_EQ(read(second_read.get(), text, sizeof text), 4);
  EXPECT_EQ(std::string(text, 4), "two\n");
}

TEST(Subprocess, BeforeExecRunsInTheChildAndMayRefuse) {
  auto command = shell("pwd");
  command.before_exec = [] { return chdir("/proc"); };
  EXPECT_EQ(run_command_blocking(std::move(command))->output, "/proc\n");
  command = shell("true");
  command.before_exec = [] { return chdir("/no/such/directory"); };
  EXPECT_EQ(run_command_blocking(std::move(command)).error().code, Code::kNotFound);
}

TEST(Subprocess, BeforeExecHasOurDescriptorsUnderEveryNumber) {
  // What the child inherits goes where a descriptor stands that before_exec writes to.
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd read_end(ends[0]);
  const UniqueFd write_end(ends[1]);
  auto command = shell("true");
  command.inherit = {{read_end.get(), write_end.get()}};
  command.before_exec = [fd = write_end.get()] { return write(fd, "in", 2) == 2 ? 0 : 1; };
  const auto outcome = run_command_blocking(std::move(command));
  ASSERT_TRUE(outcome) << outcome.error().message;
  char text[8];
  EXPECT_EQ(read(read_end.get(), text, sizeof text), 2);
}

TEST(Subprocess, EnvironmentIsReplacedNotDoubled) {
  ASSERT_EQ(setenv("ICON_TEST_VALUE", "old", 1), 0);
  ASSERT_EQ(setenv("ICON_TEST_VALUE_2", "kept", 1), 0);
  auto command = shell("env | grep ^ICON_TEST_VALUE | sort | tr '\\n' ' '");
  command.extra_environment = {"ICON_TEST_VALUE=new"};
  EXPECT_EQ(run_command_blocking(std::move(command))->output,
            "ICON_TEST_VALUE=new ICON_TEST_VALUE_2=kept ");
}

TEST(Subprocess, CheckedSaysWhatFailedAndWhy) {
  EXPECT_TRUE(run_checked_blocking(shell("true")));
  const auto status = run_checked_blocking(shell("echo the reason >&2; exit 5"));
  EXPECT_EQ(status.error().code, Code::kIo);
  EXPECT_NE(status.error().message.find("exit 5"), std::string::npos);
  EXPECT_NE(status.error().message.find("the reason"), std::string::npos);
}

TEST(Subprocess, InTheLoop) {
  boost::asio::io_context loop;
  Result<CommandOutcome> quick = fail(Code::kInternal, "did not run");
  Result<CommandOutcome> slow = fail(Code::kInternal, "did not run");
  const auto start = [&](Command command, Result<CommandOutcome>& into) {
    boost::asio::co_spawn(
        loop,
        [](Command what, Result<CommandOutcome>& where) -> Task<void> {
          where = co_await run_command(std::move(what));
        }(std::move(command), into),
        boost::asio::detached);
  };
  start(shell("echo done"), quick);
  auto sleeper = shell("exec sleep 1000");
  sleeper.timeout = Millis{100};
  start(std::move(sleeper), slow);
  loop.run();
  ASSERT_TRUE(quick);
  EXPECT_EQ(quick->output, "done\n");
  EXPECT_EQ(slow.error().code, Code::kTimeout);
}

// Whoever reads the pipe sees its end when the child is gone.
struct Watched {
  UniqueFd reading;
  ChildProcess child;
};

Watched start_watched(const std::string& script) {
  int ends[2];
  EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
  UniqueFd writing(ends[1]);
  ChildProcess::Options options;
  options.argv = {"/bin/sh", "-c", script};
  options.output_fd = writing.get();
  options.grace = Millis{100};
  auto child = ChildProcess::start(std::move(options));
  EXPECT_TRUE(child);
  return {UniqueFd(ends[0]), std::move(*child)};
}

std::string read_all(const UniqueFd& fd) {
  std::string text;
  char chunk[256];
  for (ssize_t count; (count = read(fd.get(), chunk, sizeof chunk)) > 0;)
    text.append(chunk, static_cast<std::size_t>(count));
  return text;
}

TEST(ChildProcess, WaitHasALimit) {
  auto watched = start_watched("exec sleep 1000");
  EXPECT_FALSE(watched.child.wait(Millis{0}));
  EXPECT_FALSE(watched.child.wait(Millis{-5}));
  watched.child.signal(SIGKILL);
  EXPECT_EQ(watched.child.wait(Millis{10'000}), 137);
}

TEST(ChildProcess, StopsOnDestruction) {
  UniqueFd reading;
  {
    auto watched = start_watched("echo up; exec sleep 1000");
    char text[3];
    ASSERT_EQ(read(watched.reading.get(), text, 3), 3);
    reading = std::move(watched.reading);
  }
  EXPECT_EQ(read_all(reading), "");
}

TEST(ChildProcess, IsKilledWhenItDoesNotListen) {
  auto watched = start_watched("trap '' TERM; echo up; while :; do sleep 0.05; done");
  char text[3];
  ASSERT_EQ(read(watched.reading.get(), text, 3), 3);
  const int pid = watched.child.pid();
  watched.child.stop();
  EXPECT_EQ(kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

// A signal that interrupts the wait must not shorten the grace.
TEST(ChildProcess, AnInterruptedWaitGoesOn) {
  auto watched = start_watched(
      "trap 'sleep 0.3; echo cleaned up; exit 0' TERM; echo up; "
      "while :; do sleep 0.02; done");
  char text[3];
  ASSERT_EQ(read(watched.reading.get(), text, 3), 3);
  struct sigaction action {};
  action.sa_handler = [](int) {};
  struct sigaction before {};
  sigaction(SIGALRM, &action, &before);
  itimerval timer{{0, 20'000}, {0, 20'000}};
  setitimer(ITIMER_REAL, &timer, nullptr);
  watched.child.signal(SIGTERM);
  const auto status = watched.child.wait(Millis{20'000});
  timer = {};
  setitimer(ITIMER_REAL, &timer, nullptr);
  sigaction(SIGALRM, &before, nullptr);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(read_all(watched.reading), "cleaned up\n");
}

TEST(ChildProcess, ReleasedLivesOn) {
  int pid = -1;
  {
    auto watched = start_watched("exec sleep 1000");
    pid = watched.child.release();
  }
  EXPECT_EQ(kill(pid, 0), 0);
  kill(pid, SIGKILL);
  EXPECT_EQ(waitpid(pid, nullptr, 0), pid);
}

TEST(ChildProcess, AProgramThatDoesNotExist) {
  ChildProcess::Options options;
  options.argv = {"icon-no-such-program"};
  EXPECT_EQ(ChildProcess::start(std::move(options)).error().code, Code::kNotFound);
}

// Without a free descriptor for the pidfd nobody could wait for the child: then there is none.
TEST(ChildProcess, NoDescriptorsLeft) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  std::vector<UniqueFd> fillers;
  rlimit low{64, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  for (int fd; (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;) fillers.emplace_back(fd);
  for (int free = 0; free < 6 && !fillers.empty(); ++free) {
    Command command = shell("exit 0");
    command.discard_output = true;
    const auto outcome = run_command_blocking(std::move(command));
    EXPECT_TRUE(!outcome || outcome->ok()) << free << ": status " << outcome->exit_status;
    if (!outcome) {
      EXPECT_NE(outcome.error().code, Code::kTimeout) << free;
    }
    fillers.pop_back();
  }
  fillers.clear();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

// A process whose parent has ended, and that came to us.
int adopt_one() {
  const int pid = std::stoi(run({"sh", "-c", "sleep 1000 & echo $!"}).output);
  EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), 0) << "it is not ours";
  return pid;
}

bool has_ended(int pid) {
  siginfo_t info{};
  waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT);
  return info.si_pid == pid;
}

constexpr auto kNobody = [](int) { return false; };

TEST(Orphans, AreReapedWhenTheyEnd) {
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  const int pid = adopt_one();
  EXPECT_EQ(reap_orphans(kNobody), 0) << "it lives";
  kill(pid, SIGKILL);
  ASSERT_TRUE(has_ended(pid));
  EXPECT_EQ(reap_orphans([pid](int other) { return other == pid; }), 0) << "somebody waits for it";
  EXPECT_EQ(reap_orphans(kNobody), 1);
  EXPECT_EQ(kill(pid, 0), -1);
  EXPECT_EQ(reap_orphans(kNobody), 0);
  prctl(PR_SET_CHILD_SUBREAPER, 0);
}

TEST(Orphans, AreNotWhoWasStartedHere) {
  ChildProcess::Options options;
  options.argv = {"sh", "-c", "exit 7"};
  auto child = ChildProcess::start(std::move(options));
  ASSERT_TRUE(child) << child.error().message;
  ASSERT_TRUE(has_ended(child->pid()));
  EXPECT_EQ(reap_orphans(kNobody), 0);
  EXPECT_EQ(child->wait(Millis(0)), 7);
}

}  // namespace
}  // namespace icon
