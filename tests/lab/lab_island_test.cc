// `icon lab down --all` and the scan of the whole machine, on a machine of their own: a mount, pid
// and network namespace in which /run, /tmp and the cgroups are empty, so that nobody else's things
// are seen or touched.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <functional>

#include "lab/mounts.h"
#include "tests/lab/lab_support.h"

namespace icon::lab {
namespace {

using namespace testing_support;
using testing::Contains;
using testing::HasSubstr;

namespace fs = std::filesystem;

bool make_island() {
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
  if (mount("proc", "/proc", "proc", 0, nullptr) != 0) return false;
  for (const std::string place : {"/run", "/tmp", "/dev/shm", "/sys/fs/cgroup"}) {
    for (const auto& other : mounts_under(place)) umount2(other.c_str(), MNT_DETACH);
    if (mount("none", place.c_str(), "tmpfs", 0, "mode=755") != 0) return false;
  }
  return true;
}

// Runs `test` in a child on an island; the child's failures are printed by it and fail us.
void on_island(const std::function<void()>& test) {
  const int outer = fork();
  ASSERT_GE(outer, 0);
  if (outer == 0) {
    if (unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET) != 0) _exit(100);
    const int inner = fork();  // the first process of the new pid namespace
    if (inner == 0) {
      if (!make_island()) _exit(101);
      test();
      std::fflush(stdout);
      _exit(testing::Test::HasFailure() ? 1 : 0);
    }
    int status = 0;
    waitpid(inner, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 102);
  }
  int status = 0;
  ASSERT_EQ(waitpid(outer, &status, 0), outer);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

void run(std::vector<std::string> argv) {
  Command command;
  command.argv = std::move(argv);
  const auto status = run_checked_blocking(std::move(command));
  EXPECT_TRUE(status) << status.error().message;
}

// A process whose executable has the given name.
ChildProcess start_named(const std::string& name, const std::string& netns) {
  fs::copy_file("/bin/sleep", "/run/" + name, fs::copy_options::overwrite_existing);
  ChildProcess::Options options;
  options.argv = {"/run/" + name, "1000"};
  if (!netns.empty())
    options.argv.insert(options.argv.begin(), {"nsenter", "--net=/run/netns/" + netns, "--"});
  auto child = ChildProcess::start(std::move(options));
  EXPECT_TRUE(child) << child.error().message;
  return std::move(*child);
}

TEST(LabIsland, ScanFindsEveryKindAndDownAllRemovesIt) {
  on_island([]() {
    EXPECT_EQ(scan_machine().describe(), "");
    run({"ip", "netns", "add", "icon-lost-node"});
    run({"ip", "link", "add", "icon0", "type", "veth", "peer", "name", "icon1"});
    run({"nft", "add", "table", "inet", "icon_lost"});
    ASSERT_TRUE(make_directories("/run/icon-lab/lost/hosts"));
    ASSERT_TRUE(make_directories("/tmp/icon-lost"));
    ASSERT_TRUE(make_directories("/sys/fs/cgroup/icon/lost"));
    ASSERT_EQ(mount("none", "/run/icon-lab/lost/hosts", "tmpfs", 0, nullptr), 0);
    ChildProcess inside = start_named("quiet", "icon-lost-node");
    ChildProcess named = start_named("icon-thing", "");
    // The child of nsenter is itself once it has executed its program.
    EXPECT_TRUE(eventually([&]() { return scan_machine().processes.size() == 2; }));

    const Remains found = scan_machine();
    EXPECT_THAT(found.namespaces, Contains("icon-lost-node"));
    EXPECT_THAT(found.links, Contains("icon0"));
    EXPECT_THAT(found.nft_tables, Contains("inet icon_lost"));
    EXPECT_THAT(found.mounts, Contains("/run/icon-lab/lost/hosts"));
    EXPECT_THAT(found.cgroups, Contains("/sys/fs/cgroup/icon/lost"));
    EXPECT_THAT(found.directories, Contains("/run/icon-lab/lost"));
    EXPECT_THAT(found.directories, Contains("/tmp/icon-lost"));
    EXPECT_THAT(found.describe(), HasSubstr("namespace icon-lost-node\n"));

    const auto status = Lab::down_all();
    EXPECT_TRUE(status) << status.error().message;
    EXPECT_EQ(scan_machine().describe(), "");
    EXPECT_FALSE(fs::exists("/run/icon-lab"));
  });
}

TEST(LabIsland, ALabMakesAndRemovesTheNamespaceDirectory) {
  on_island([]() {
    // The helpers are beside the tests, wherever the build directory is, unless that is in /tmp.
    const auto lab = Lab::up({.name = "island", .topology_text = shipped_topology("two-hosts")});
    ASSERT_TRUE(lab) << lab.error().message;
    EXPECT_TRUE(fs::exists("/run/netns"));
    EXPECT_TRUE(Lab::down_all());
    EXPECT_FALSE(fs::exists("/run/netns"));
    EXPECT_FALSE(fs::exists("/run/icon-lab"));
    EXPECT_EQ(scan_machine().describe(), "");
  });
}

// A supervisor that serves this machine, not a lab, is left alone with all it runs.
TEST(LabIsland, DownAllLeavesASupervisorOfTheMachineAlone) {
  on_island([]() {
    ChildProcess supervisor = start_named("icon-supervisor", "");
    run({"ip", "netns", "add", "icon-abcdefgh-service"});
    ASSERT_TRUE(make_directories("/sys/fs/cgroup/icon/abcdefgh"));
    ASSERT_TRUE(make_directories("/run/icon-lab/lost"));
    run({"ip", "netns", "add", "icon-lost-node"});
    EXPECT_TRUE(Lab::down_all());
    EXPECT_FALSE(supervisor.wait(Millis(0)));
    EXPECT_TRUE(fs::exists("/run/netns/icon-abcdefgh-service"));
    EXPECT_FALSE(fs::exists("/run/netns/icon-lost-node"));
    EXPECT_TRUE(scan_leftovers().empty());
  });
}

}  // namespace
}  // namespace icon::lab
