// The demo's world, as its file draws it: what measurement and discovery will see there.
//
//  origin --30 ms-- t1 -- t2 --8 ms-- x1 -- a1 -- a2 --2 ms-- users-a     edge-a at a1
//                          +--23 ms-- b1 --2 ms-- users-b                 edge-b at b1
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <sstream>

#include "tests/lab/lab_support.h"

namespace icon::lab {
namespace {

using namespace testing_support;
using testing::AllOf;
using testing::Ge;
using testing::HasSubstr;
using testing::Le;

std::string namespace_at(const std::string& path) {
  std::error_code error;
  return std::filesystem::read_symlink(path, error);
}

class LabWorld : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const auto begin = std::chrono::steady_clock::now();
    auto up = Lab::up({.name = own_name("w"),
                       .topology_text = shipped_topology("demo"),
                       .bound_to_caller = true});
    up_took_ = std::chrono::steady_clock::now() - begin;
    ASSERT_TRUE(up) << up.error().message;
    lab_ = std::make_unique<Lab>(std::move(*up));
  }
  static void TearDownTestSuite() {
    if (!lab_) return;
    const std::string name = lab_->name();
    const auto down = lab_->down();
    EXPECT_TRUE(down) << down.error().message;
    EXPECT_EQ(scan_lab(name).describe(), "");
    lab_.reset();
  }
  void SetUp() override { ASSERT_TRUE(lab_); }

  static std::string query(const std::string& name, const std::string& type) {
    return output_of(*lab_, "users-b",
                     {"kdig", "+short", "@" + lab_->resolver().to_string(), name, type});
  }
  static void set(const std::string& link, const std::vector<std::string>& words) {
    const auto change = LinkChange::parse(words);
    ASSERT_TRUE(change) << change.error().message;
    const auto status = lab_->set_link(link, *change);
    ASSERT_TRUE(status) << status.error().message;
  }

  static std::unique_ptr<Lab> lab_;
  static std::chrono::steady_clock::duration up_took_;
};
std::unique_ptr<Lab> LabWorld::lab_;
std::chrono::steady_clock::duration LabWorld::up_took_;

TEST_F(LabWorld, IsUpInAFewSecondsAndHealthy) {
  EXPECT_LT(up_took_, std::chrono::seconds(5));
  EXPECT_TRUE(lab_->healthy());
  EXPECT_FALSE(scan_lab(lab_->name()).empty());
}

class LabWorldTrace : public LabWorld, public testing::WithParamInterface<const char*> {};

TEST_P(LabWorldTrace, SeesEveryRouterByName) {
  const std::string trace =
      output_of(*lab_, "origin",
                {"traceroute", GetParam(), "-q", "1", "-w", "2", "u3.users-a.access-a.test"});
  const std::vector<std::string> expected{"t1.transit.test",  "t2.transit.test",
                                          "x1.ixp.test",      "a1.access-a.test",
                                          "a2.access-a.test", "u3.users-a.access-a.test"};
  std::istringstream lines(trace);
  std::string line;
  std::getline(lines, line);  // the headline
  for (const auto& hop : expected) {
    ASSERT_TRUE(std::getline(lines, line)) << trace;
    EXPECT_THAT(line, HasSubstr(hop)) << trace;
  }
  EXPECT_FALSE(std::getline(lines, line)) << trace;
}
INSTANTIATE_TEST_SUITE_P(Probes, LabWorldTrace, testing::Values("-U", "-I", "-T"));

TEST_F(LabWorld, HasTheDistancesThatItsFileDraws) {
  const auto to = [&](const std::string& node) { return lab_->address(node)->to_string(); };
  EXPECT_THAT(least_round_trip_ms(*lab_, "users-a", to("origin"), 86), AllOf(Ge(80), Le(86)));
  EXPECT_THAT(least_round_trip_ms(*lab_, "users-b", to("origin"), 116), AllOf(Ge(110), Le(116)));
  EXPECT_THAT(least_round_trip_ms(*lab_, "users-a", to("edge-a"), 7), AllOf(Ge(4), Le(7)));
  EXPECT_THAT(least_round_trip_ms(*lab_, "users-b", to("edge-b"), 7), AllOf(Ge(4), Le(7)));
}

TEST_F(LabWorld, AnswersFromEveryUsersAddress) {
  const auto users = lab_->users("users-a");
  ASSERT_TRUE(users);
  ASSERT_EQ(users->size(), 12u);
  for (const auto& user : {users->front(), users->back()})
    EXPECT_GT(round_trip_ms(*lab_, "edge-a", user.to_string(), 1), 0) << user.to_string();
}

TEST_F(LabWorld, PublishesProvidersThroughTheResolver) {
  const std::map<std::string, std::string> hosts{{"access-a.test", "edge-a"},
                                                 {"access-b.test", "edge-b"},
                                                 {"transit.test", "dear"},
                                                 {"ixp.test", "liar"}};
  for (const auto& [domain, host] : hosts) {
    EXPECT_EQ(query("_icon._tcp." + domain, "SRV"), "10 10 7946 " + host + "." + domain + ".\n");
    EXPECT_EQ(query(host + "." + domain, "A"), lab_->address(host)->to_string() + "\n");
    const std::string text = query("_icon._tcp." + domain, "TXT");
    EXPECT_THAT(text, HasSubstr("v=icon1 id="));
    const bool honest = text.find("id=" + *lab_->supervisor_id(host)) != std::string::npos;
    EXPECT_EQ(honest, host != "liar") << text;
  }
}

TEST_F(LabWorld, KnowsTheNameOfEveryAddress) {
  for (const auto& node : lab_->plan().nodes) {
    const std::string name = node.name + "." + node.domain + ".\n";
    const auto pointer = [&](const Address& address) {
      return output_of(
          *lab_, "origin",
          {"kdig", "+short", "@" + lab_->resolver().to_string(), "-x", address.to_string()});
    };
    EXPECT_EQ(pointer(node.loopback), name);
    for (const auto& interface : node.interfaces)
      EXPECT_EQ(pointer(interface.address), interface.name + "." + name);
  }
}

TEST_F(LabWorld, ARelayedLinkChangesAtRunTime) {
  const std::string origin = lab_->address("origin")->to_string();
  set("origin", {"delay=10ms"});
  EXPECT_THAT(least_round_trip_ms(*lab_, "users-a", origin, 46), AllOf(Ge(40), Le(46)));
  set("origin", {"down"});
  EXPECT_LT(round_trip_ms(*lab_, "users-a", origin, 2), 0);
  set("origin", {"up", "delay=30ms", "loss=100%"});
  EXPECT_LT(round_trip_ms(*lab_, "users-a", origin, 2), 0);
  set("origin", {"loss=0"});
  EXPECT_THAT(least_round_trip_ms(*lab_, "users-a", origin, 86), AllOf(Ge(80), Le(86)));
  const auto links = lab_->links();
  ASSERT_TRUE(links) << links.error().message;
  EXPECT_EQ(links->front().link.shape, (Shape{.delay_ms = 30}));
  EXPECT_GE(links->front().from_a.lost, 4u);
  EXPECT_GE(links->front().from_b.packets, 8u);
}

TEST_F(LabWorld, APlainLinkGoesDownAndUp) {
  const std::string origin = lab_->address("origin")->to_string();
  set("core", {"down"});
  EXPECT_LT(round_trip_ms(*lab_, "users-b", origin, 2), 0);
  EXPECT_FALSE(lab_->links()->at(1).up);
  set("core", {"up"});
  EXPECT_GT(round_trip_ms(*lab_, "users-b", origin, 2), 0);
  EXPECT_TRUE(lab_->links()->at(1).up);
  const auto refused = lab_->set_link("core", {.delay_ms = 3});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("plain link"));
}

TEST_F(LabWorld, ProgramsRunInsideAndReportTheirEnd) {
  RunOptions options;
  options.argv = {"sh", "-c", "exit 7"};
  EXPECT_EQ(lab_->exec("edge-a", std::move(options)).value_or(-1), 7);
  options = {};
  options.argv = {"no-such-program"};
  const auto missing = lab_->exec("edge-a", std::move(options));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::kNotFound);
  EXPECT_EQ(lab_->address("nowhere").error().code, Code::kNotFound);
  EXPECT_EQ(output_of(*lab_, "edge-a", {"cat", "/etc/resolv.conf"}),
            "nameserver " + lab_->resolver().to_string() + "\n");
}

TEST_F(LabWorld, AProgramKeepsNoNamespaceOfOthersAlive) {
  EXPECT_THAT(output_of(*lab_, "edge-a", {"cat", "/proc/self/mountinfo"}),
              testing::Not(HasSubstr("/run/netns/")));
}

TEST_F(LabWorld, ASupervisorMayShareTheMachinesMounts) {
  const auto machine = namespace_at("/proc/self/ns/mnt");
  for (const bool own : {true, false}) {
    RunOptions options;
    options.argv = {"sleep", "100"};
    options.own_resolv_conf = own;
    const auto child = lab_->spawn("edge-a", std::move(options));
    ASSERT_TRUE(child) << child.error().message;
    const auto theirs = namespace_at("/proc/" + std::to_string(child->pid()) + "/ns/mnt");
    EXPECT_EQ(theirs == machine, !own);
  }
}

TEST_F(LabWorld, ANameIsTakenOnce) {
  const auto second =
      Lab::up({.name = lab_->name(), .topology_text = shipped_topology("two-hosts")});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kConflict);
  EXPECT_TRUE(lab_->healthy());
}

TEST_F(LabWorld, CanBeOpenedByAnotherProcess) {
  const auto same = Lab::open(lab_->name());
  ASSERT_TRUE(same) << same.error().message;
  EXPECT_TRUE(same->healthy());
  EXPECT_EQ(*same->supervisor_id("edge-a"), *lab_->supervisor_id("edge-a"));
  EXPECT_EQ(same->resolver(), lab_->resolver());
}

}  // namespace
}  // namespace icon::lab
