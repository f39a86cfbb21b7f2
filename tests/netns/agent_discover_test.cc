// `icon-agent discover` with every privilege taken away finds the routers on the way to a user.
//
//   agent 198.51.101.2 --- 198.51.101.1 r1 198.51.102.1 --- 198.51.102.2 r2 198.51.103.1 ---
//   198.51.103.2 user
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/subprocess.h"

namespace icon::agent {
namespace {

using ::testing::ElementsAre;

void must(std::vector<std::string> argv) {
  Command command;
  command.argv = std::move(argv);
  const auto status = run_checked_blocking(std::move(command));
  ASSERT_TRUE(status) << status.error().message;
}

class AgentDiscoverTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(geteuid(), 0U) << "this test makes network namespaces: run it as root";
    char pattern[] = "/tmp/icon-agt-bin.XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    directory_ = pattern;
    // A copy where an unprivileged user may reach it.
    std::filesystem::permissions(directory_, std::filesystem::perms(0755));
    std::filesystem::copy_file(std::string(ICON_BIN_DIR) + "/icon-agent", directory_ + "/agent");
    for (const char* name : {"agent", "r1", "r2", "user"}) {
      names_.push_back("icon-agt-" + std::to_string(getpid()) + "-" + name);
      must({"ip", "netns", "add", names_.back()});
      must({"ip", "-n", names_.back(), "link", "set", "lo", "up"});
      sysctl(names_.back(), "net.ipv4.ip_forward=1");
      sysctl(names_.back(), "net.ipv4.icmp_ratelimit=0");
      // No ping sockets either: nothing but a plain UDP socket is left.
      sysctl(names_.back(), "net.ipv4.ping_group_range=1 0");
    }
    for (std::size_t i = 0; i + 1 < names_.size(); ++i) join(i);
    must({"ip", "-n", names_[0], "route", "add", "default", "via", "198.51.101.1"});
    must({"ip", "-n", names_[1], "route", "add", "198.51.103.0/24", "via", "198.51.102.2"});
    must({"ip", "-n", names_[2], "route", "add", "198.51.101.0/24", "via", "198.51.102.1"});
    must({"ip", "-n", names_[3], "route", "add", "default", "via", "198.51.103.1"});
  }
  void TearDown() override {
    for (const auto& name : names_) must({"ip", "netns", "delete", name});
    std::filesystem::remove_all(directory_);
  }

  void sysctl(const std::string& netns, const std::string& setting) {
    must({"ip", "netns", "exec", netns, "sysctl", "-qw", setting});
  }
  void join(std::size_t left) {
    const std::string net = "198.51.10" + std::to_string(left + 1);
    // r1 is the gateway of the agent, r2 that of the user.
    const char* left_host = left == 0 ? ".2/24" : ".1/24";
    const char* right_host = left == 0 ? ".1/24" : ".2/24";
    must({"ip", "-n", names_[left], "link", "add", "right", "type", "veth", "peer", "name", "left",
          "netns", names_[left + 1]});
    must({"ip", "-n", names_[left], "address", "add", net + left_host, "dev", "right"});
    must({"ip", "-n", names_[left + 1], "address", "add", net + right_host, "dev", "left"});
    must({"ip", "-n", names_[left], "link", "set", "right", "up"});
    must({"ip", "-n", names_[left + 1], "link", "set", "left", "up"});
  }

  std::string directory_;
  std::vector<std::string> names_;
};

TEST_F(AgentDiscoverTest, NeedsNoPrivilege) {
  Command command;
  command.argv = {"ip",
                  "netns",
                  "exec",
                  names_[0],
                  "setpriv",
                  "--reuid",
                  "1000",
                  "--regid",
                  "1000",
                  "--clear-groups",
                  "--bounding-set=-all",
                  "--inh-caps=-all",
                  "--no-new-privs",
                  std::string(ICON_BIN_DIR) + "/icon-agent",
                  "discover",
                  "--json",
                  "198.51.103.2"};
  command.timeout = Millis(60'000);
  const auto outcome = run_command_blocking(std::move(command));
  ASSERT_TRUE(outcome) << outcome.error().message;
  ASSERT_EQ(outcome->exit_status, 0) << outcome->error_output;
  const auto report = json::parse_object(outcome->output, 1 << 20);
  ASSERT_TRUE(report) << outcome->output;
  const auto& trace = report->at("traces").as_array().at(0).as_object();
  EXPECT_TRUE(trace.at("reached").as_bool());
  std::vector<std::string> hops;
  for (const auto& hop : trace.at("hops").as_array())
    hops.emplace_back(hop.as_object().at("address").as_string());
  EXPECT_THAT(hops, ElementsAre("198.51.101.1", "198.51.102.2", "198.51.103.2"));
}

}  // namespace
}  // namespace icon::agent
