// Five namespaces in a row and icon-trace in the first one, without any privilege:
//
//   n0 ------------ n1 ------------ n2 ------------ n3 ------------ n4
//      198.51.100.0/31  ...100.2/31     ...100.4/31     ...100.6/31    lo 203.0.113.9
//      2001:db8:0:0::/64    0:1::/64        0:2::/64        0:3::/64   lo 2001:db8:9::9
//
// Left ends are even (::1), right ends odd (::2). A router answers from the address that the probe
// came in by, without limits on how often.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/netns.h"
#include "base/subprocess.h"

namespace icon::discovery {

constexpr int kNodes = 5;
inline const std::string kUserV4 = "203.0.113.9";
inline const std::string kUserV6 = "2001:db8:9::9";

class Chain : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(geteuid(), 0u) << "this test makes network namespaces: run it as root";
    char pattern[] = "/tmp/icon-disc-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    directory_ = pattern;
    prefix_ = "icon-disc-" + directory_.substr(directory_.size() - 6) + "-n";
    ASSERT_EQ(chmod(pattern, 0755), 0);
    // A copy where an unprivileged user may reach it.
    std::filesystem::copy_file(std::string(ICON_BIN_DIR) + "/icon-trace", trace_program());
    std::string batch;
    for (int i = 0; i < kNodes; ++i) batch += "netns add " + name(i) + "\n";
    for (int i = 0; i + 1 < kNodes; ++i)
      batch += "link add right netns " + name(i) + " type veth peer name left netns " +
               name(i + 1) + "\n";
    ip({"ip", "-batch", "-"}, batch);
    for (int i = 0; i < kNodes; ++i) {
      set_kernel(i);
      ip({"ip", "-n", name(i), "-batch", "-"}, node_batch(i));
    }
  }

  void TearDown() override {
    std::string batch;
    for (int i = 0; i < kNodes; ++i)
      if (std::filesystem::exists("/run/netns/" + name(i))) batch += "netns del " + name(i) + "\n";
    ip({"ip", "-batch", "-"}, batch);
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }

  std::string name(int node) const { return prefix_ + std::to_string(node); }
  std::string trace_program() const { return directory_ + "/icon-trace"; }
  const std::string& directory() const { return directory_; }

  static std::string left_v4(int link) { return "198.51.100." + std::to_string(2 * link); }
  static std::string right_v4(int link) { return "198.51.100." + std::to_string(2 * link + 1); }
  static std::string left_v6(int link) { return "2001:db8:0:" + std::to_string(link) + "::1"; }
  static std::string right_v6(int link) { return "2001:db8:0:" + std::to_string(link) + "::2"; }

  // What a trace from n0 to the user must show.
  static std::vector<std::string> path_v4() {
    return {right_v4(0), right_v4(1), right_v4(2), kUserV4};
  }
  static std::vector<std::string> path_v6() {
    // The kernel writes zero groups its own way.
    return {"2001:db8::2", "2001:db8:0:1::2", "2001:db8:0:2::2", kUserV6};
  }

  Status inside(int node, const std::function<Status()>& work) {
    auto netns = open_netns(name(node));
    if (!netns) return fail(netns.error());
    return in_netns(*netns, work);
  }

  void kernel_setting(int node, const std::string& key, const std::string& value) {
    const auto status = inside(node, [&] { return write_kernel_file("/proc/sys/" + key, value); });
    ASSERT_TRUE(status) << key << ": " << status.error().message;
  }

  void nft(int node, const std::string& rules) {
    Command command;
    command.argv = {"nsenter", "--net=/run/netns/" + name(node), "nft", "-f", "-"};
    command.input = rules;
    const auto status = run_checked_blocking(std::move(command));
    ASSERT_TRUE(status) << status.error().message;
  }

  // Runs a program in n0 as a user without name, group, capability or the means to get one.
  static std::vector<std::string> unprivileged(const std::string& netns) {
    return {"nsenter",
            "--net=/run/netns/" + netns,
            "setpriv",
            "--reuid=1000",
            "--regid=1000",
            "--clear-groups",
            "--inh-caps=-all",
            "--ambient-caps=-all",
            "--bounding-set=-all",
            "--no-new-privs"};
  }
  CommandOutcome run_unprivileged(std::vector<std::string> argv) {
    Command command;
    command.argv = unprivileged(name(0));
    command.argv.insert(command.argv.end(), argv.begin(), argv.end());
    auto outcome = run_command_blocking(std::move(command));
    EXPECT_TRUE(outcome) << outcome.error().message;
    return outcome ? *outcome : CommandOutcome{};
  }
  // The report of icon-trace --json with more arguments.
  json::Object trace(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {trace_program(), "--json"});
    const auto outcome = run_unprivileged(std::move(arguments));
    EXPECT_EQ(outcome.exit_status, 0) << outcome.error_output;
    auto report = json::parse_object(outcome.output, 1 << 20);
    EXPECT_TRUE(report) << outcome.output;
    return report ? *report : json::Object{};
  }

 private:
  static void ip(std::vector<std::string> argv, std::string input) {
    Command command;
    command.argv = std::move(argv);
    command.input = std::move(input);
    const auto status = run_checked_blocking(std::move(command));
    EXPECT_TRUE(status) << status.error().message;
  }

  void set_kernel(int node) {
    for (const auto& [key, value] : std::vector<std::pair<std::string, std::string>>{
             {"net/ipv4/ip_forward", "1"},
             {"net/ipv4/icmp_ratelimit", "0"},
             {"net/ipv4/icmp_msgs_per_sec", "1000000"},
             {"net/ipv4/icmp_msgs_burst", "1000000"},
             {"net/ipv4/icmp_errors_use_inbound_ifaddr", "1"},
             {"net/ipv6/conf/all/forwarding", "1"},
             {"net/ipv6/icmp/ratelimit", "0"}})
      kernel_setting(node, key, value);
    // Until duplicate address detection is through, which takes seconds, a neighbour does not
    // answer.
    if (node + 1 < kNodes) kernel_setting(node, "net/ipv6/conf/right/accept_dad", "0");
    if (node > 0) kernel_setting(node, "net/ipv6/conf/left/accept_dad", "0");
  }

  std::string node_batch(int i) const {
    std::string batch = "link set lo up\n";
    if (i + 1 < kNodes) {
      batch += "link set right up\naddr add " + left_v4(i) + "/31 dev right\n";
      batch += "addr add " + left_v6(i) + "/64 dev right nodad\n";
      batch += "route add default via " + right_v4(i) + "\n";
      batch += "route add default via " + right_v6(i) + "\n";
    }
    if (i > 0) {
      batch += "link set left up\naddr add " + right_v4(i - 1) + "/31 dev left\n";
      batch += "addr add " + right_v6(i - 1) + "/64 dev left nodad\n";
    }
    for (int link = 0; link + 1 < i; ++link) {
      batch += "route add " + left_v4(link) + "/31 via " + left_v4(i - 1) + "\n";
      batch +=
          "route add 2001:db8:0:" + std::to_string(link) + "::/64 via " + left_v6(i - 1) + "\n";
    }
    if (i + 1 == kNodes) {
      batch += "addr add " + kUserV4 + "/32 dev lo\naddr add " + kUserV6 + "/128 dev lo nodad\n";
      // The whole /24 lives here, so that there can be many users.
      batch += "route add local 203.0.113.0/24 dev lo\n";
    }
    return batch;
  }

  std::string directory_;
  std::string prefix_;
};

}  // namespace icon::discovery
