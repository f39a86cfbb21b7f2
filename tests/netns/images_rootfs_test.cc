// Root directories from Debian packages: the programs in them run, a second build does nothing, a
// failed or interrupted one leaves nothing. Needs root and, the first time, the package registry.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/subprocess.h"

namespace icon {
namespace {

using ::testing::HasSubstr;

constexpr Millis kBuildMax{100'000};
constexpr std::uintmax_t kRedisBytesMax = 60'000'000;

class RootfsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(geteuid(), 0u) << "file owners and chroot need root";
    char path[] = "/tmp/icimg.XXXXXX";
    directory_ = mkdtemp(path);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  static CommandOutcome run(std::vector<std::string> argv) {
    Command command;
    command.argv = std::move(argv);
    command.timeout = kBuildMax;
    const auto outcome = run_command_blocking(std::move(command));
    return outcome ? *outcome : CommandOutcome{-1, "", outcome.error().message};
  }
  static std::string images(const std::string& file) {
    return std::string(ICON_SOURCE_DIR) + "/images/" + file;
  }
  std::string out() const { return directory_ + "/root"; }
  CommandOutcome build(std::vector<std::string> packages) {
    packages.insert(packages.begin(), {images("make-rootfs"), out()});
    return run(std::move(packages));
  }
  // What a program in the built tree says about itself.
  std::string in_root(std::vector<std::string> argv) {
    argv.insert(argv.begin(), {"chroot", out()});
    const auto outcome = run(std::move(argv));
    return outcome.ok() ? outcome.output + outcome.error_output : "failed: " + outcome.error_output;
  }
  std::string digest() {
    return run({"sh", "-c",
                "tar -C '" + out() + "' --sort=name --numeric-owner -cf - . | sha256sum"})
        .output;
  }
  std::vector<std::string> left() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory_))
      names.push_back(entry.path().filename());
    return names;
  }

  std::string directory_;
};

TEST_F(RootfsTest, RedisRunsIsSmallAndIsNotBuiltTwice) {
  auto outcome = run({images("redis/build"), out()});
  ASSERT_TRUE(outcome.ok()) << outcome.error_output;
  EXPECT_THAT(in_root({"/usr/bin/redis-server", "--version"}), HasSubstr("Redis server v="));
  struct stat before {};
  ASSERT_EQ(stat((out() + "/etc/redis/icon.conf").c_str(), &before), 0);
  outcome = run({images("redis/build"), out()});
  EXPECT_THAT(outcome.output, HasSubstr("up to date"));
  struct stat after {};
  ASSERT_EQ(stat((out() + "/etc/redis/icon.conf").c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  std::uintmax_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(out()))
    if (entry.is_regular_file() && !entry.is_symlink()) bytes += entry.file_size();
  EXPECT_LT(bytes, kRedisBytesMax);
  EXPECT_EQ(left(), std::vector<std::string>{"root"});
}

TEST_F(RootfsTest, HttpdRuns) {
  const auto outcome = run({images("httpd/build"), out()});
  ASSERT_TRUE(outcome.ok()) << outcome.error_output;
  EXPECT_EQ(in_root({"/usr/bin/python3", "-B", "-c",
                     "import sys; sys.path.append('/srv'); import counter; "
                     "print(counter.next_count(1))"}),
            "1\n");
}

TEST_F(RootfsTest, OtherServicesRunToo) {
  auto outcome = build({"nginx-light"});
  ASSERT_TRUE(outcome.ok()) << outcome.error_output;
  EXPECT_THAT(in_root({"/usr/sbin/nginx", "-V"}), HasSubstr("nginx version"));
  EXPECT_THAT(in_root({"/usr/sbin/nginx", "-t"}), HasSubstr("test is successful"));
  outcome = build({"memcached"});  // another set of packages replaces the tree
  ASSERT_TRUE(outcome.ok()) << outcome.error_output;
  EXPECT_THAT(in_root({"/usr/bin/memcached", "-V"}), HasSubstr("memcached "));
  EXPECT_FALSE(std::filesystem::exists(out() + "/usr/sbin/nginx"));
  const auto first = digest();
  std::filesystem::remove_all(out());
  ASSERT_TRUE(build({"memcached"}).ok());
  EXPECT_EQ(digest(), first) << "the same input makes the same tree, times included";
}

TEST_F(RootfsTest, AFailedBuildLeavesNothingAndSaysWhy) {
  const auto outcome = build({"--add-file", "/etc/hostname:/etc/x", "no-such-package-of-debian"});
  EXPECT_EQ(outcome.exit_status, 1);
  EXPECT_THAT(outcome.error_output, HasSubstr("apt cannot resolve: no-such-package-of-debian"));
  EXPECT_TRUE(left().empty());
  EXPECT_EQ(build({"memcached", "--add-file", "/nonexistent:/x"}).exit_status, 2);
  EXPECT_EQ(build({"memcached", "--user", "a b"}).exit_status, 2);
  EXPECT_EQ(build({}).exit_status, 2);
  std::filesystem::create_directories(out() + "/precious");
  EXPECT_EQ(build({"memcached"}).exit_status, 1) << "somebody's directory is not ours to replace";
  EXPECT_TRUE(std::filesystem::exists(out() + "/precious"));
}

TEST_F(RootfsTest, AnInterruptedBuildLeavesNothing) {
  ChildProcess::Options options;
  options.argv = {images("make-rootfs"), out(), "python3"};
  auto started = ChildProcess::start(std::move(options));
  ASSERT_TRUE(started) << started.error().message;
  while (left().empty()) ASSERT_FALSE(started->wait(Millis(1))) << "ended before it was begun";
  started->signal(SIGTERM);
  const auto status = started->wait(kBuildMax);
  ASSERT_TRUE(status);
  EXPECT_EQ(*status, 128 + SIGTERM);
  EXPECT_TRUE(left().empty());
}

}  // namespace
}  // namespace icon
