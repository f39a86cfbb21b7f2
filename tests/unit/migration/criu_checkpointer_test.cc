#include "migration/criu_checkpointer.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "migration/criu_parts.h"

namespace icon::migration {
namespace {

TEST(CriuErrorLines, KeepsOnlyTheErrors) {
  const std::string log =
      "(00.1) 7591 fdinfo 1: pos: 0x3a4\n"
      "(00.2) Error (criu/files-reg.c:1790): Can't lookup mount=27 for fd=1\n"
      "(00.3) ----\n"
      "(00.4) Error (criu/cr-dump.c:1975): Dumping FAILED.\n";
  EXPECT_EQ(criu_error_lines(log),
            "Error (criu/files-reg.c:1790): Can't lookup mount=27 for fd=1; "
            "Error (criu/cr-dump.c:1975): Dumping FAILED.");
  EXPECT_EQ(criu_error_lines(log, 1), "Error (criu/cr-dump.c:1975): Dumping FAILED.");
  EXPECT_EQ(criu_error_lines("all well\n"), "");
}

// A directory as a restore by CRIU number `pid` has it.
std::string roots_of(const std::string& pid) {
  std::string path = "/tmp/.criu.mntns." + pid + ".XXXXXX";
  EXPECT_NE(mkdtemp(path.data()), nullptr);
  return path;
}

TEST(CriuRoots, OnlyThoseOfTheDeadGo) {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  const std::string unreaped = roots_of(std::to_string(child));
  criu::clear_after_the_dead();
  EXPECT_TRUE(std::filesystem::exists(unreaped)) << "its number is still taken";
  ASSERT_EQ(waitpid(child, nullptr, 0), child);

  const std::string full = roots_of(std::to_string(child));
  std::filesystem::create_directory(full + "/in");
  const std::string living = roots_of(std::to_string(getpid()));
  const std::string of_another_version = roots_of("T0k3n");
  criu::clear_after_the_dead();
  EXPECT_FALSE(std::filesystem::exists(unreaped));
  for (const auto& kept : {full, living, of_another_version}) {
    EXPECT_TRUE(std::filesystem::exists(kept)) << kept;
    std::filesystem::remove_all(kept);
  }
}

}  // namespace
}  // namespace icon::migration
