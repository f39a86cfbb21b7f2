// However a lab ends, nothing of it is left.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/keys.h"
#include "tests/lab/lab_support.h"

namespace icon::lab {
namespace {

using namespace testing_support;
using testing::HasSubstr;

namespace fs = std::filesystem;

Result<Lab> persistent_lab(const std::string& name) {
  return Lab::up({.name = name, .topology_text = shipped_topology("two-hosts")});
}

// In a lab of its own each, removed whatever the test finds.
class LabTeardown : public testing::Test {
 protected:
  void TearDown() override {
    const auto status = Lab::down(name_);
    EXPECT_TRUE(status) << status.error().message;
    EXPECT_EQ(scan_lab(name_).describe(), "");
    EXPECT_FALSE(fs::exists("/run/icon-lab/" + name_));
  }
  const std::string name_ = own_name("t");
};

TEST_F(LabTeardown, AfterDownNothingIsLeft) {
  auto lab = persistent_lab(name_);
  ASSERT_TRUE(lab) << lab.error().message;
  const Remains while_up = scan_lab(name_);
  EXPECT_EQ(while_up.namespaces.size(), 6u);
  EXPECT_EQ(while_up.directories.size(), 1u);
  EXPECT_GE(while_up.processes.size(), 2u);
  EXPECT_TRUE(lab->down());
  EXPECT_EQ(scan_lab(name_).describe(), "");
  EXPECT_TRUE(lab->down());  // a second time is fine
}

TEST_F(LabTeardown, TheEndOfTheObjectEndsABoundLab) {
  {
    const auto lab = Lab::up(
        {.name = name_, .topology_text = shipped_topology("two-hosts"), .bound_to_caller = true});
    ASSERT_TRUE(lab) << lab.error().message;
    EXPECT_FALSE(scan_lab(name_).empty());
  }
  EXPECT_EQ(scan_lab(name_).describe(), "");
}

class LabOwnerKilled : public LabTeardown, public testing::WithParamInterface<int> {};

TEST_P(LabOwnerKilled, TheGuardTakesItDown) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  UniqueFd said(ends[0]);
  UniqueFd says(ends[1]);
  ChildProcess::Options options;
  options.argv = {std::string(ICON_BIN_DIR) + "/lab_owner",
                  std::string(ICON_SOURCE_DIR) + "/lab/topologies/two-hosts.yaml", name_};
  options.output_fd = says.get();
  options.error_fd = STDERR_FILENO;
  auto owner = ChildProcess::start(std::move(options));
  ASSERT_TRUE(owner) << owner.error().message;
  says.reset();
  char word[3] = {};
  ASSERT_EQ(read(said.get(), word, 3), 3) << "the owner ended early";
  const Remains while_up = scan_lab(name_);
  EXPECT_GE(while_up.processes.size(), 4u);  // name server, resolver, guard, the sleeper
  EXPECT_EQ(while_up.mounts.size(), 1u);
  owner->signal(GetParam());
  EXPECT_EQ(owner->wait(Millis(5'000)), 128 + GetParam());
  EXPECT_TRUE(eventually([&]() { return scan_lab(name_).empty(); })) << scan_lab(name_).describe();
}
INSTANTIATE_TEST_SUITE_P(Signals, LabOwnerKilled, testing::Values(SIGKILL, SIGINT, SIGTERM));

TEST_F(LabTeardown, AFailedStartLeavesNothing) {
  char directory[] = "/tmp/labt-XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  const std::string helpers(directory);
  std::error_code error;
  fs::create_symlink("/bin/false", helpers + "/icon-lab-relay", error);
  fs::create_symlink(std::string(ICON_BIN_DIR) + "/icon-lab-guard", helpers + "/icon-lab-guard",
                     error);
  for (const bool bound : {true, false}) {
    const auto lab = Lab::up({.name = name_,
                              .topology_text = shipped_topology("demo"),
                              .bound_to_caller = bound,
                              .helper_directory = helpers});
    ASSERT_FALSE(lab);
    EXPECT_THAT(lab.error().message, HasSubstr("relay did not start"));
    EXPECT_EQ(scan_lab(name_).describe(), "");
  }
  fs::remove_all(helpers, error);
}

TEST_F(LabTeardown, WorksWithoutTheStateFile) {
  ASSERT_TRUE(persistent_lab(name_));
  std::error_code error;
  fs::remove("/run/icon-lab/" + name_ + "/state.json", error);
  EXPECT_EQ(Lab::open(name_).error().code, Code::kNotFound);
  EXPECT_TRUE(Lab::down(name_));
  EXPECT_EQ(scan_lab(name_).describe(), "");
}

TEST_F(LabTeardown, WorksWithoutTheDirectory) {
  ASSERT_TRUE(persistent_lab(name_));
  std::error_code error;
  fs::remove_all("/run/icon-lab/" + name_, error);
  EXPECT_TRUE(Lab::down(name_));
  EXPECT_EQ(scan_lab(name_).describe(), "");
}

// What a supervisor of the lab leaves when it is killed: an ICON frozen in its cgroup, and the
// ICON's namespace.
TEST_F(LabTeardown, TakesTheSupervisorsIconsToo) {
  const auto lab = persistent_lab(name_);
  ASSERT_TRUE(lab) << lab.error().message;
  // One that did not take the key that the lab made for it.
  ASSERT_TRUE(make_directories(lab->host_directory("host-a") + "/state"));
  const auto key = KeyPair::load(lab->host_directory("host-a") + "/state/host.key", true);
  ASSERT_TRUE(key) << key.error().message;
  const std::string supervisor = short_id(key->id());
  const bool v1 = fs::exists("/sys/fs/cgroup/freezer");
  const std::string cgroup = std::string(v1 ? "/sys/fs/cgroup/freezer" : "/sys/fs/cgroup") +
                             "/icon/" + supervisor + "/anicon";
  ASSERT_TRUE(make_directories(cgroup));
  Command add;
  add.argv = {"ip", "netns", "add", "icon-" + supervisor + "-anicon"};
  ASSERT_TRUE(run_checked_blocking(std::move(add)));

  ChildProcess::Options options;
  options.argv = {"sleep", "1000"};
  options.die_with_parent = false;
  auto frozen = ChildProcess::start(std::move(options));
  ASSERT_TRUE(frozen);
  ASSERT_TRUE(write_kernel_file(cgroup + "/cgroup.procs", std::to_string(frozen->pid())));
  ASSERT_TRUE(v1 ? write_kernel_file(cgroup + "/freezer.state", "FROZEN")
                 : write_kernel_file(cgroup + "/cgroup.freeze", "1"));

  const auto status = Lab::down(name_);
  EXPECT_TRUE(status) << status.error().message;
  EXPECT_EQ(frozen->wait(Millis(5'000)), 128 + SIGKILL);
  EXPECT_FALSE(fs::exists(cgroup));
  EXPECT_FALSE(fs::exists("/run/netns/icon-" + supervisor + "-anicon"));
}

TEST_F(LabTeardown, ALargerWorldIsUpInSeconds) {
  std::string yaml = "routers: [r0";
  std::string links = "links:\n";
  for (int i = 1; i < 40; ++i) {
    yaml += ", r" + std::to_string(i);
    links += "  - {a: r" + std::to_string((i - 1) / 3) + ", b: r" + std::to_string(i) +
             (i % 4 == 0 ? ", delay_ms: 1}\n" : "}\n");
  }
  const auto begin = std::chrono::steady_clock::now();
  const auto lab = Lab::up({.name = name_, .topology_text = yaml + "]\n" + links});
  ASSERT_TRUE(lab) << lab.error().message;
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  EXPECT_GT(round_trip_ms(*lab, "r39", lab->address("r27")->to_string(), 1), 0);
}

TEST(LabErrors, SayWhatToDo) {
  const auto bad_name = Lab::up({.name = "a-b", .topology_text = shipped_topology("two-hosts")});
  ASSERT_FALSE(bad_name);
  EXPECT_EQ(bad_name.error().code, Code::kInvalid);
  const auto bad_file =
      Lab::up({.name = own_name("e"), .topology_text = "routers: [x]\nlink: []\n"});
  ASSERT_FALSE(bad_file);
  EXPECT_THAT(bad_file.error().message, HasSubstr("line 2, link"));
  EXPECT_TRUE(Lab::down(own_name("never")));
}

}  // namespace
}  // namespace icon::lab
