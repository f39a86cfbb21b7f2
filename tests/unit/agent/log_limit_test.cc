#include "agent/log_limit.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/fd.h"
#include "base/file.h"

namespace icon::agent {
namespace {

class LogLimitTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char directory[] = "/tmp/icon-agt-log.XXXXXX";
    ASSERT_NE(mkdtemp(directory), nullptr);
    directory_ = directory;
    path_ = directory_ + "/service.log";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string directory_, path_;
};

constexpr LogLimits kLimits{.bytes_max = 100, .bytes_kept = 25};

TEST_F(LogLimitTest, SmallAndAbsentFilesStay) {
  EXPECT_TRUE(limit_log(path_, kLimits));
  std::ofstream(path_) << "one line\n";
  EXPECT_TRUE(limit_log(path_, kLimits));
  EXPECT_EQ(*read_file(path_, 1000), "one line\n");
  EXPECT_FALSE(std::filesystem::exists(path_ + ".old"));
}

TEST_F(LogLimitTest, TheLastWholeLinesAreKeptAndTheWriterGoesOn) {
  UniqueFd writer(open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
  for (int i = 10; i < 30; ++i) {
    const std::string line = "line " + std::to_string(i) + "\n";
    ASSERT_EQ(write(writer.get(), line.data(), line.size()), static_cast<ssize_t>(line.size()));
  }
  EXPECT_TRUE(limit_log(path_, kLimits));
  EXPECT_EQ(*read_file(path_ + ".old", 1000), "line 27\nline 28\nline 29\n");
  ASSERT_EQ(write(writer.get(), "new\n", 4), 4);
  EXPECT_EQ(*read_file(path_, 1000), "new\n");
}

TEST_F(LogLimitTest, ALinkIsNotFollowed) {
  std::ofstream(directory_ + "/target") << std::string(1000, 'x');
  std::filesystem::create_symlink(directory_ + "/target", path_);
  EXPECT_FALSE(limit_log(path_, kLimits));
  EXPECT_EQ(std::filesystem::file_size(directory_ + "/target"), 1000U);
}

}  // namespace
}  // namespace icon::agent
