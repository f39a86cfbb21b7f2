// Control groups on the real kernel: the layout of this machine, and v2 where it is mounted.
#include <signal.h>
#include <sys/stat.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <fstream>
#include <thread>

#include "base/keys.h"
#include "supervisor/cgroup.h"
#include "supervisor/container.h"
#include "tests/netns/supervisor_host.h"

namespace icon::supervisor {
namespace {

class CgroupTest : public ::testing::TestWithParam<bool> {
 protected:
  CgroupTest() : path_("/icon-core-" + std::to_string(getpid()) + "/one") {}

  std::optional<Cgroup> cgroup() {
    if (!GetParam()) {
      auto here = Cgroup::at(path_);
      EXPECT_TRUE(here) << here.error().message;
      return *here;
    }
    for (const char* mountpoint : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"})
      if (std::filesystem::exists(std::string(mountpoint) + "/cgroup.procs"))
        return Cgroup::on_v2(mountpoint, path_);
    return std::nullopt;
  }
  Status run(Task<Status> task) {
    Status result;
    boost::asio::co_spawn(
        loop_,
        [](Task<Status> task, Status& result) -> Task<void> { result = co_await std::move(task); }(
                                                  std::move(task), result),
        boost::asio::detached);
    loop_.run();
    loop_.restart();
    return result;
  }
  static char state_of(int pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string line;
    std::getline(file, line);
    return line.empty() ? '-' : line[line.rfind(')') + 2];
  }

  std::string path_;
  IoContext loop_;
};

TEST_P(CgroupTest, HoldsFreezesAndKills) {
  const auto group = cgroup();
  ASSERT_TRUE(group) << "no cgroup v2 is mounted on this machine";
  ASSERT_TRUE(group->create({500, 64 << 20, 0}));
  const auto procs = group->open_procs();
  ASSERT_TRUE(procs) << procs.error().message;
  ChildProcess::Options options;
  options.argv = {"sleep", "1000"};
  options.before_exec = [&] { return Cgroup::join(*procs); };
  auto child = ChildProcess::start(std::move(options));
  ASSERT_TRUE(child) << child.error().message;
  EXPECT_EQ(group->processes(), std::vector<int>{child->pid()});
  EXPECT_EQ(run(group->remove()).error().code, Code::kConflict);
  const auto frozen = run(group->freeze());
  ASSERT_TRUE(frozen) << frozen.error().message;
  EXPECT_TRUE(group->frozen());
  ASSERT_TRUE(group->thaw());
  EXPECT_FALSE(group->frozen());
  // Killed while frozen: thawed, or it would never die.
  ASSERT_TRUE(run(group->freeze()));
  const auto killed = run(group->kill_all());
  ASSERT_TRUE(killed) << killed.error().message;
  EXPECT_TRUE(child->wait(Millis(5'000)));
  EXPECT_TRUE(group->processes().empty());
  const auto removed = run(group->remove());
  ASSERT_TRUE(removed) << removed.error().message;
  for (const auto& directory : group->directories())
    EXPECT_FALSE(std::filesystem::exists(std::filesystem::path(directory).parent_path()));
  EXPECT_TRUE(run(group->remove()));
  EXPECT_FALSE(run(group->freeze(Millis(10))));
}

// An exec ends the other threads first: frozen in between, on v1 it would wait for them for ever.
TEST_P(CgroupTest, FreezesInTheMiddleOfAnExec) {
  const auto group = cgroup();
  ASSERT_TRUE(group->create({}));
  const auto procs = group->open_procs();
  ASSERT_TRUE(procs) << procs.error().message;
  ChildProcess::Options options;
  options.argv = {std::string(ICON_BIN_DIR) + "/icon-core-echo", "exec", "8"};
  options.before_exec = [&] { return Cgroup::join(*procs); };
  auto child = ChildProcess::start(std::move(options));
  ASSERT_TRUE(child) << child.error().message;
  for (int i = 0; i < 50; ++i) {
    const auto frozen = run(group->freeze());
    ASSERT_TRUE(frozen) << "freeze " << i << ": " << frozen.error().message;
    ASSERT_TRUE(group->thaw());
    std::this_thread::yield();
  }
  EXPECT_EQ(group->processes(), std::vector<int>{child->pid()});
  ASSERT_TRUE(run(group->kill_all()));
  EXPECT_TRUE(child->wait(Millis(5'000)));
  EXPECT_TRUE(run(group->remove()));
}

INSTANTIATE_TEST_SUITE_P(Layouts, CgroupTest, ::testing::Values(false, true),
                         [](const auto& info) { return info.param ? "V2" : "OfThisMachine"; });

TEST(CgroupLimits, AreSetWhereTheControllerIs) {
  const auto group = Cgroup::at("/icon-core-" + std::to_string(getpid()) + "/limits");
  ASSERT_TRUE(group->create({1'500, 64 << 20, 0}));
  int seen = 0;
  for (const auto& directory : group->directories()) {
    const auto check = [&](const char* file, const std::string& expected) {
      const auto value = read_file(directory + file, 100);
      if (!value) return;
      ++seen;
      EXPECT_EQ(*value, expected + "\n") << file;
    };
    check("/cpu.cfs_quota_us", "150000");
    check("/memory.limit_in_bytes", std::to_string(64 << 20));
    check("/cpu.max", "150000 100000");
  }
  EXPECT_GT(seen, 0);
  IoContext loop;
  boost::asio::co_spawn(
      loop,
      [](const Cgroup& group) -> Task<void> {
        const auto removed = co_await group.remove();
        EXPECT_TRUE(removed);
      }(*group),
      boost::asio::detached);
  loop.run();
}

// A group that somebody else keeps, here by a group of his own in it: the ICON cannot come again
// before all of its first life is gone.
TEST(LeftOver, IsClearedWhenItCanBe) {
  char directory[] = "/tmp/icon-core-left.XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  Config config;
  config.state_dir = std::string(directory) + "/state";
  config.runtime_dir = std::string(directory) + "/run";
  std::filesystem::create_directories(config.state_dir);
  std::filesystem::create_directories(config.runtime_dir);
  IoContext loop;
  Containers containers(loop, config, KeyPair::generate().id());
  const auto icon = KeyPair::generate().id();
  const auto group = containers.cgroup(icon);
  ASSERT_TRUE(group) << group.error().message;
  ASSERT_TRUE(group->create({}));
  ASSERT_TRUE(containers.make_directories(icon, {}));
  const std::string inner = group->freezer_directory() + "/inner";
  ASSERT_EQ(mkdir(inner.c_str(), 0755), 0);
  Status destroyed;
  const auto destroy = [&]() -> Task<void> { destroyed = co_await containers.destroy(icon); };
  const auto run = [&loop](Task<void> task) {
    boost::asio::co_spawn(loop, std::move(task), boost::asio::detached);
    loop.restart();
    loop.run();
  };
  run(destroy());
  EXPECT_EQ(destroyed.error().code, Code::kConflict) << destroyed.error().message;
  EXPECT_EQ(containers.make_directories(icon, {}).error().code, Code::kConflict);
  ASSERT_EQ(rmdir(inner.c_str()), 0);
  run(containers.clear_left_over());
  for (const auto& path : group->directories()) EXPECT_FALSE(std::filesystem::exists(path)) << path;
  EXPECT_TRUE(containers.make_directories(icon, {}));
  std::filesystem::remove_all(directory);
}

// CRIU and container engines mount hierarchies for a moment where they like.
TEST(CgroupMounts, AHierarchyThatIsMountedTwiceCountsOnce) {
  const auto before = Cgroup::at("/icon-core-twice");
  ASSERT_TRUE(before);
  char directory[] = "/tmp/icon-core-cgroup.XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  const char* type = before->is_v2() ? "cgroup2" : "cgroup";
  ASSERT_EQ(mount("icon", directory, type, 0, before->is_v2() ? nullptr : "freezer"), 0);
  const auto twice = Cgroup::at("/icon-core-twice");
  EXPECT_EQ(umount2(directory, MNT_DETACH), 0);
  rmdir(directory);
  ASSERT_TRUE(twice);
  EXPECT_EQ(twice->directories(), before->directories());
  EXPECT_EQ(twice->freezer_directory(), before->freezer_directory());
}

}  // namespace
}  // namespace icon::supervisor
