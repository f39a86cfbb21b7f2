// A tree to send and the place where it arrives.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace icon::migration {

class TwoTreesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/icon-two-trees-test.XXXXXX";
    base_ = mkdtemp(name);
    std::filesystem::create_directories(source());
    std::filesystem::create_directories(target());
  }
  void TearDown() override { std::filesystem::remove_all(base_); }

  std::string source() const { return base_ + "/source"; }
  std::string target() const { return base_ + "/target"; }
  static void write_file(const std::string& path, const std::string& content) {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path) << content;
  }

  std::string base_;
};

}  // namespace icon::migration
