// The agent as the first process of a container: an empty root directory with the agent and one
// static program, a PID namespace of its own, no supervisor.
#include <elf.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/subprocess.h"

namespace icon::agent {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string kAgent = std::string(ICON_BIN_DIR) + "/icon-agent";
const std::string kService = std::string(ICON_BIN_DIR) + "/icon-agent-test-service";
constexpr Millis kLimit{20'000};

struct Outcome {
  int status = -1;
  std::string output;
  std::string errors;
};

Outcome run(std::vector<std::string> argv) {
  Command command;
  command.argv = std::move(argv);
  command.timeout = kLimit;
  const auto outcome = run_command_blocking(std::move(command));
  if (!outcome) {
    ADD_FAILURE() << outcome.error().message;
    return {};
  }
  return {outcome->exit_status, outcome->output, outcome->error_output};
}

// A root directory with two files and two empty folders.
class AgentProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(geteuid(), 0U) << "this test makes PID namespaces: run it as root";
    char directory[] = "/tmp/icon-agt-root.XXXXXX";
    ASSERT_NE(mkdtemp(directory), nullptr);
    root_ = directory;
    std::filesystem::copy_file(kAgent, root_ + "/icon-agent");
    std::filesystem::copy_file(kService, root_ + "/service");
    std::filesystem::create_directory(root_ + "/proc");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  // The agent as PID 1 of an empty image.
  std::vector<std::string> contained(std::vector<std::string> arguments) const {
    std::vector<std::string> argv{"unshare",    "--pid",  "--fork", "--kill-child",
                                  "--mount",    "--root", root_,    "--mount-proc=/proc",
                                  "/icon-agent"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return argv;
  }
  Outcome run_contained(std::vector<std::string> arguments) const {
    return run(contained(std::move(arguments)));
  }

  std::string root_;
};

TEST(AgentBinary, NeedsNothingFromTheImage) {
  std::ifstream file(kAgent, std::ios::binary);
  Elf64_Ehdr header{};
  file.read(reinterpret_cast<char*>(&header), sizeof header);
  ASSERT_EQ(std::memcmp(header.e_ident, ELFMAG, SELFMAG), 0);
  file.seekg(static_cast<std::streamoff>(header.e_phoff));
  for (int i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr part{};
    file.read(reinterpret_cast<char*>(&part), sizeof part);
    EXPECT_NE(part.p_type, static_cast<Elf64_Word>(PT_INTERP)) << "wants a dynamic loader";
    EXPECT_NE(part.p_type, static_cast<Elf64_Word>(PT_DYNAMIC)) << "wants shared libraries";
  }
}

TEST_F(AgentProcessTest, PassesTheExitCodeOn) {
  EXPECT_EQ(run_contained({"--", "/service", "exit", "0"}).status, 0);
  EXPECT_EQ(run_contained({"--", "/service", "exit", "7"}).status, 7);
  EXPECT_EQ(run_contained({"--", "/service", "abort"}).status, 128 + SIGKILL);
}

TEST_F(AgentProcessTest, SaysClearlyWhatCannotBeRun) {
  const auto missing = run_contained({"--", "/no-such-program"});
  EXPECT_EQ(missing.status, 127);
  EXPECT_THAT(missing.errors, HasSubstr("/no-such-program"));
  std::ofstream(root_ + "/text") << "not a program\n";
  const auto text = run_contained({"--", "/text"});
  EXPECT_EQ(text.status, 126);
  EXPECT_THAT(text.errors, HasSubstr("/text"));
}

TEST_F(AgentProcessTest, WithoutASupervisorItSaysSoOnceAndRunsTheService) {
  const auto outcome = run_contained({"--", "/service", "print", "hello from the service"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.output, "hello from the service\n");
  EXPECT_THAT(outcome.errors, HasSubstr("no supervisor"));
  EXPECT_EQ(std::count(outcome.errors.begin(), outcome.errors.end(), '\n'), 1) << outcome.errors;
}

TEST_F(AgentProcessTest, ReapsOrphans) {
  EXPECT_EQ(run_contained({"--", "/service", "orphans"}).status, 0);
}

TEST_F(AgentProcessTest, TheServiceStartsWithCleanSignalsAndItsOwnGroup) {
  const auto outcome = run_contained({"--", "/service", "dispositions"});
  EXPECT_THAT(outcome.output, Not(HasSubstr("ignored")));
  EXPECT_THAT(outcome.output, Not(HasSubstr("blocked")));
  EXPECT_THAT(outcome.output, HasSubstr("pid 2 group 2"));
}

TEST_F(AgentProcessTest, TheServiceInheritsItsStreamsAndNothingElse) {
  const auto outcome = run_contained({"--", "/service", "streams"});
  EXPECT_THAT(outcome.output, HasSubstr("fd 2 "));
  EXPECT_THAT(outcome.output, Not(HasSubstr("fd 3 "))) << outcome.output;
}

// Runs the agent outside of a PID namespace, with a pipe for its output.
class AgentSignalTest : public ::testing::Test {
 protected:
  void start(std::vector<std::string> arguments) {
    ASSERT_EQ(pipe2(pipe_, O_CLOEXEC | O_NONBLOCK), 0);
    ChildProcess::Options options;
    options.argv = {kAgent};
    options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
    options.output_fd = pipe_[1];
    auto child = ChildProcess::start(std::move(options));
    ASSERT_TRUE(child) << child.error().message;
    child_.emplace(std::move(*child));
    close(pipe_[1]);
  }
  void TearDown() override {
    child_.reset();
    close(pipe_[0]);
  }
  // Reads on until `text` has come.
  bool saw(const std::string& text) {
    while (output_.find(text) == std::string::npos) {
      pollfd poll_entry{pipe_[0], POLLIN, 0};
      if (poll(&poll_entry, 1, static_cast<int>(kLimit.count())) <= 0) return false;
      char buffer[256];
      const ssize_t count = read(pipe_[0], buffer, sizeof buffer);
      if (count <= 0) return false;
      output_.append(buffer, static_cast<std::size_t>(count));
    }
    return true;
  }

  int pipe_[2] = {-1, -1};
  std::optional<ChildProcess> child_;
  std::string output_;
};

TEST_F(AgentSignalTest, ForwardsSignals) {
  start({"--", kService, "signals"});
  ASSERT_TRUE(saw("ready\n"));
  for (const int number : {SIGHUP, SIGINT, SIGQUIT, SIGUSR2, SIGWINCH, SIGUSR1}) {
    child_->signal(number);
    EXPECT_TRUE(saw("signal " + std::to_string(number) + "\n")) << number;
  }
  child_->signal(SIGTERM);
  EXPECT_TRUE(saw("signal " + std::to_string(SIGTERM) + "\n"));
  EXPECT_EQ(child_->wait(kLimit), 42);
}

TEST_F(AgentSignalTest, KillsAServiceThatDoesNotStop) {
  start({"--stop-grace", "1", "--", kService, "stubborn"});
  ASSERT_TRUE(saw("ready\n"));
  child_->signal(SIGTERM);
  EXPECT_EQ(child_->wait(kLimit), 128 + SIGKILL);
}

class AgentCommandLineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char directory[] = "/tmp/icon-agt-cli.XXXXXX";
    ASSERT_NE(mkdtemp(directory), nullptr);
    directory_ = directory;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string file(const std::string& text) const {
    const std::string path = directory_ + "/policy.yaml";
    std::ofstream(path) << text;
    return path;
  }
  std::string directory_;
};

TEST_F(AgentCommandLineTest, Help) {
  const auto outcome = run({kAgent, "--help"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.output, HasSubstr("icon-agent [OPTIONS] -- COMMAND"));
  EXPECT_THAT(run({kAgent, "--version"}).output, HasSubstr("icon-agent 0."));
}

TEST_F(AgentCommandLineTest, MistakesSayWhatToWrite) {
  const auto nothing = run({kAgent});
  EXPECT_EQ(nothing.status, 64);
  EXPECT_THAT(nothing.errors, HasSubstr("icon-agent -- COMMAND"));
  const auto word = run({kAgent, "nginx"});
  EXPECT_EQ(word.status, 64);
  EXPECT_THAT(word.errors, HasSubstr("icon-agent -- nginx"));
  EXPECT_EQ(run({kAgent, "--nonsense", "--", "true"}).status, 64);
  EXPECT_EQ(run({kAgent, "--stop-grace", "soon", "--", "true"}).status, 64);
  EXPECT_EQ(run({kAgent, "discover", "not-an-address"}).status, 64);
}

TEST_F(AgentCommandLineTest, ValidatesAPolicy) {
  EXPECT_EQ(run({kAgent, "validate", file("latency:\n  objective: 20ms\n")}).status, 0);
  const auto wrong = run({kAgent, "validate", file("latency:\n  objective: soon\nbogus: 1\n")});
  EXPECT_EQ(wrong.status, 2);
  EXPECT_THAT(wrong.errors, HasSubstr("line 2"));
  EXPECT_THAT(wrong.errors, HasSubstr("bogus"));
  EXPECT_EQ(run({kAgent, "validate", directory_ + "/absent.yaml"}).status, 2);
}

TEST_F(AgentCommandLineTest, AnExplicitPolicyMustBeValid) {
  const auto outcome =
      run({kAgent, "--policy", file("bogus: 1\n"), "--", kService, "print", "ran"});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.output, "");
}

}  // namespace
}  // namespace icon::agent
