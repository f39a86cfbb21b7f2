#include "lab/process.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/subprocess.h"

namespace icon::lab {
namespace {

ChildProcess start_sleeper() {
  ChildProcess::Options options;
  options.argv = {"sleep", "100"};
  auto child = ChildProcess::start(std::move(options));
  EXPECT_TRUE(child);
  return std::move(*child);
}

TEST(Process, KnowsItself) {
  const auto self = identify(getpid());
  ASSERT_TRUE(self);
  EXPECT_TRUE(is_running(*self));
  EXPECT_EQ(self->executable, "lab_unit_test");
  EXPECT_EQ(self_and_ancestors().front(), getpid());
  EXPECT_EQ(self_and_ancestors().back(), 1);
}

TEST(Process, EndsTheOneThatWasMeant) {
  ChildProcess child = start_sleeper();
  const auto identity = identify(child.pid());
  ASSERT_TRUE(identity);
  EXPECT_EQ(arguments_of(child.pid()), (std::vector<std::string>{"sleep", "100"}));
  const auto found = find_processes([&](int pid) { return pid == child.pid(); });
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(end_processes(found, Millis(5000)));
  EXPECT_FALSE(is_running(*identity));
  EXPECT_EQ(child.wait(Millis(5000)), 128 + 9);
}

TEST(Process, LeavesTheNextOwnerOfAPidAlone) {
  ChildProcess child = start_sleeper();
  auto identity = identify(child.pid());
  ASSERT_TRUE(identity);
  --identity->start_ticks;  // an earlier process with that pid
  EXPECT_FALSE(is_running(*identity));
  EXPECT_TRUE(end_processes({*identity}, Millis(100)));
  EXPECT_FALSE(child.wait(Millis(0)));
  child.stop();
}

}  // namespace
}  // namespace icon::lab
