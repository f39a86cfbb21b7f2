// `icon demo` as a program: the whole story (lab/topologies/demo.yaml shows its world), a failure
// in the middle, ctrl-C in the middle. Nothing may be left after any of them.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>

#include "base/file.h"
#include "base/subprocess.h"
#include "lab/remains.h"

namespace icon::lab {
namespace {

using testing::HasSubstr;

constexpr Millis kDemoMax{90'000};

class DemoTest : public ::testing::Test {
 protected:
  void TearDown() override {
    EXPECT_EQ(scan_lab(lab_).describe(), "");
    std::error_code ignored;
    std::filesystem::remove(json_, ignored);
  }

  std::vector<std::string> arguments(std::vector<std::string> more) const {
    std::vector<std::string> argv{
        ICON_BIN_DIR "/icon", "demo",           "--lab", lab_, "--criu", criu_,
        "--rootfs",           ICON_REDIS_ROOTFS};
    argv.insert(argv.end(), more.begin(), more.end());
    return argv;
  }

  CommandOutcome run(std::vector<std::string> more) const {
    Command command;
    command.argv = arguments(std::move(more));
    command.timeout = kDemoMax;
    const auto outcome = run_command_blocking(std::move(command));
    EXPECT_TRUE(outcome) << (outcome ? "" : outcome.error().message);
    return outcome.value_or(CommandOutcome{});
  }

  std::string criu_ = ICON_CRIU;
  const std::string lab_ = "dt" + std::to_string(getpid());
  const std::string json_ = testing::TempDir() + "icon-" + lab_ + ".json";
};

TEST_F(DemoTest, TellsTheWholeStoryAndItsFiguresHold) {
  const auto outcome = run({"--json", json_});
  ASSERT_EQ(outcome.exit_status, 0) << outcome.output << outcome.error_output;
  const auto text = read_file(json_, 1 << 20);
  ASSERT_TRUE(text) << text.error().message;
  const auto figures = json::parse_object(*text, 1 << 20);
  ASSERT_TRUE(figures) << figures.error().message;
  const auto integer = [&](const char* key) { return figures->at(key).as_int64(); };
  EXPECT_EQ(integer("connections"), 16);
  EXPECT_EQ(integer("connections_alive"), 16);
  EXPECT_EQ(integer("replies_lost"), 0);
  EXPECT_EQ(integer("replies_duplicated"), 0);
  EXPECT_EQ(integer("data_damaged"), 0);
  EXPECT_GT(integer("bytes_moved"), 64'000'000);
  EXPECT_GT(integer("spent_ucredits"), 0);
  EXPECT_GT(figures->at("gap_ms_max").as_double(), 0);
  const auto& rtt = figures->at("rtt_ms");
  EXPECT_LT(rtt.at("after").at("p50").as_double(), rtt.at("before").at("p50").as_double() / 3);
  std::map<std::string, std::string> reasons;
  for (const auto& rejected : figures->at("rejected").as_array())
    reasons[std::string(rejected.at("provider").as_string())] =
        std::string(rejected.at("reason").as_string());
  EXPECT_EQ(reasons["dear"], "too_dear");
  EXPECT_EQ(reasons["liar"], "key_mismatch");
  EXPECT_THAT(outcome.output, HasSubstr("It moves: origin to edge-a"));
}

TEST_F(DemoTest, AMoveThatFailsIsNamedAndCleanedUp) {
  criu_ = "/bin/false";
  const auto outcome = run({"--size", "1"});
  EXPECT_EQ(outcome.exit_status, 1);
  EXPECT_THAT(outcome.error_output, HasSubstr("redis serves on at origin"));
}

TEST_F(DemoTest, AnExpectationThatDoesNotHoldIsNamed) {
  // At this price nobody turns "dear" down for it, and that is what the demo must then say.
  const auto outcome = run({"--size", "1", "--price", "dear=0.09"});
  EXPECT_EQ(outcome.exit_status, 1);
  EXPECT_THAT(outcome.error_output, HasSubstr("expected that provider dear is rejected"));
}

TEST_F(DemoTest, CtrlCInTheMiddleLeavesNothing) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  UniqueFd read_end(ends[0]), write_end(ends[1]);
  ChildProcess::Options options;
  options.argv = arguments({"--size", "8"});
  options.output_fd = options.error_fd = write_end.get();
  auto demo = ChildProcess::start(std::move(options));
  ASSERT_TRUE(demo) << demo.error().message;
  write_end.reset();
  std::string story;
  const auto deadline = std::chrono::steady_clock::now() + kDemoMax;
  char buffer[4096];
  while (story.find("== It moves") == std::string::npos) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << story;
    pollfd wait{read_end.get(), POLLIN, 0};
    if (poll(&wait, 1, 1'000) <= 0) continue;
    const auto got = read(read_end.get(), buffer, sizeof buffer);
    ASSERT_GT(got, 0) << story;
    story.append(buffer, static_cast<std::size_t>(got));
  }
  demo->signal(SIGINT);
  const auto status = demo->wait(Millis(30'000));
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(*status, 130);
}

}  // namespace
}  // namespace icon::lab
