#include "base/log.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "base/json.h"

namespace icon::log {
namespace {

class LogTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/icon-log-test-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    path_ = directory_ + "/log";
  }
  void TearDown() override {
    init(Level::kInfo);
    std::filesystem::remove_all(directory_);
  }
  std::string directory_;
  std::string path_;
};

TEST_F(LogTest, OneEventIsOneLineOfJson) {
  init(Level::kInfo, path_);
  info("migration.dump", {{"bytes", 5}, {"text", "two\nlines {} %v"}});
  debug("quiet");
  const auto text = *read_file(path_, 4096);
  ASSERT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  const auto line = json::parse_object(text, 4096);
  ASSERT_TRUE(line) << text;
  EXPECT_EQ(*json::get_string(*line, "event"), "migration.dump");
  EXPECT_EQ(*json::get_string(*line, "level"), "info");
  EXPECT_EQ(*json::get_int(*line, "bytes", 0, 9), 5);
  EXPECT_EQ(*json::get_string(*line, "text"), "two\nlines {} %v");
  EXPECT_TRUE(json::get_int(*line, "time_ms", 1'600'000'000'000, 99'000'000'000'000));
}

TEST_F(LogTest, ForPeople) {
  init(Level::kDebug, path_, /*human=*/true);
  warn("stub.ready", {{"port", 80}, {"name", "a b"}});
  const auto text = *read_file(path_, 4096);
  EXPECT_NE(text.find("stub.ready port=80 name=\"a b\"\n"), std::string::npos) << text;
}

}  // namespace
}  // namespace icon::log
