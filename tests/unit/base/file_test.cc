#include "base/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

namespace icon {
namespace {

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/icon-file-test-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string at(const std::string& name) const { return directory_ + "/" + name; }
  unsigned mode(const std::string& path) const {
    struct stat info {};
    EXPECT_EQ(stat(path.c_str(), &info), 0);
    return info.st_mode & 07777;
  }

  std::string directory_;
};

TEST_F(FileTest, WritesAndReads) {
  const std::string content("a\0b\n", 4);
  ASSERT_TRUE(write_file_atomic(at("f"), content, 0640));
  EXPECT_EQ(*read_file(at("f"), 4), content);
  EXPECT_EQ(mode(at("f")), 0640u);
  ASSERT_TRUE(write_file_atomic(at("f"), "", 0600));
  EXPECT_EQ(*read_file(at("f"), 0), "");
  EXPECT_EQ(mode(at("f")), 0600u);
}

TEST_F(FileTest, ReadsAreBounded) {
  const std::string large(100'000, 'x');
  ASSERT_TRUE(write_file_atomic(at("f"), large, 0600));
  EXPECT_EQ(read_file(at("f"), large.size() - 1).error().code, Code::kLimit);
  EXPECT_EQ(*read_file(at("f"), large.size()), large);
  EXPECT_EQ(read_file("/dev/zero", 1000).error().code, Code::kLimit);
}

TEST_F(FileTest, WhatIsNotThere) {
  EXPECT_EQ(read_file(at("absent"), 10).error().code, Code::kNotFound);
  EXPECT_EQ(read_file(directory_, 10).error().code, Code::kIo);
  EXPECT_EQ(write_file_atomic(at("absent/f"), "x", 0600).error().code, Code::kNotFound);
  EXPECT_EQ(write_kernel_file(at("absent"), "x").error().code, Code::kNotFound);
}

TEST_F(FileTest, AFailedWriteLeavesTheOldFileAndNoOther) {
  ASSERT_TRUE(std::filesystem::create_directory(at("d")));
  EXPECT_FALSE(write_file_atomic(at("d"), "x", 0600));
  int entries = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory_))
    ++entries;
  EXPECT_EQ(entries, 1);
}

TEST_F(FileTest, MakesDirectories) {
  ASSERT_TRUE(make_directories(at("a/b/c"), 0700));
  EXPECT_EQ(mode(at("a/b/c")), 0700u);
  EXPECT_TRUE(make_directories(at("a/b/c"), 0700));
  EXPECT_TRUE(make_directories(at("a//b/d/"), 0700));
  EXPECT_TRUE(std::filesystem::is_directory(at("a/b/d")));
  EXPECT_TRUE(make_directories("/"));
}

TEST_F(FileTest, AFileInTheWayIsAnError) {
  ASSERT_TRUE(write_file_atomic(at("f"), "", 0600));
  EXPECT_FALSE(make_directories(at("f")));
  EXPECT_FALSE(make_directories(at("f/g")));
  ASSERT_EQ(symlink(directory_.c_str(), at("link").c_str()), 0);
  EXPECT_TRUE(make_directories(at("link")));
}

}  // namespace
}  // namespace icon
