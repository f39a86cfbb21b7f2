#include "migration/criu_checkpointer.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace icon::migration
