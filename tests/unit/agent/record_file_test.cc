#include "agent/record_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/file.h"

namespace icon::agent {
namespace {

class RecordFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char directory[] = "/tmp/icon-agt-record.XXXXXX";
    ASSERT_NE(mkdtemp(directory), nullptr);
    directory_ = directory;
    path_ = directory_ + "/rounds.jsonl";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string content(const char* more = "") const { return *read_file(path_ + more, 1000); }
  std::string directory_, path_;
};

TEST_F(RecordFileTest, StaysWithinItsBytesAndIsNobodyElsesToRead) {
  const auto old_mask = umask(0);
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(append_to_record(path_, {{"round", i}}, 100));
  umask(old_mask);
  EXPECT_EQ(content(), "{\"round\":48}\n{\"round\":49}\n");
  EXPECT_EQ(content(".old"), "{\"round\":45}\n{\"round\":46}\n{\"round\":47}\n");
  for (const auto* more : {"", ".old"}) {
    struct stat info {};
    ASSERT_EQ(stat((path_ + more).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600U);
  }
  EXPECT_EQ(append_to_record(path_, {{"round", std::string(60, 'x')}}, 100).error().code,
            Code::kLimit);
}

TEST_F(RecordFileTest, WhatACrashHasTornIsCutOff) {
  std::ofstream(path_) << "{\"round\":1}\n{\"rou";
  ASSERT_TRUE(append_to_record(path_, {{"round", 2}}, 1000));
  EXPECT_EQ(content(), "{\"round\":1}\n{\"round\":2}\n");
  std::ofstream(path_) << std::string(9000, 'x');
  ASSERT_TRUE(append_to_record(path_, {{"round", 3}}, 100'000));
  EXPECT_EQ(content(), "{\"round\":3}\n");
}

TEST_F(RecordFileTest, ALinkIsNotFollowed) {
  std::ofstream(directory_ + "/precious") << "precious";
  std::filesystem::create_symlink(directory_ + "/precious", path_);
  EXPECT_FALSE(append_to_record(path_, {{"round", 1}}, 1000));
  EXPECT_EQ(*read_file(directory_ + "/precious", 100), "precious");
}

}  // namespace
}  // namespace icon::agent
