// The tracer at work on real kernels: limits as shipped, balanced paths, and a checkpoint in the
// middle of it. The topology is drawn in discovery_chain.h; behind n4 is also 11.0.0.0/16.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fstream>
#include <set>

#include "discovery/mapped_tracer.h"
#include "tests/netns/discovery_chain.h"

namespace icon::discovery {
namespace {

using ::testing::IsSupersetOf;

constexpr int kBlocks = 200;

class ScaleTest : public Chain {
 protected:
  void SetUp() override {
    Chain::SetUp();
    ip({"-n", name(4), "route", "add", "local", "11.0.0.0/16", "dev", "lo"});
  }
  static void ip(std::vector<std::string> arguments) {
    Command command;
    command.argv = std::move(arguments);
    command.argv.insert(command.argv.begin(), "ip");
    const auto status = run_checked_blocking(std::move(command));
    ASSERT_TRUE(status) << status.error().message;
  }
  void limit_icmp_as_shipped() {
    for (const int node : {1, 2, 3, 4}) {
      kernel_setting(node, "net/ipv4/icmp_ratelimit", "1000");
      kernel_setting(node, "net/ipv4/icmp_msgs_per_sec", "1000");
      kernel_setting(node, "net/ipv4/icmp_msgs_burst", "50");
    }
  }
  std::string target_file(int blocks, int hosts) {
    const std::string path = directory() + "/targets";
    std::ofstream file(path);
    for (int block = 0; block < blocks; ++block)
      for (int host = 1; host <= hosts; ++host) file << "11.0." << block << '.' << host << '\n';
    return path;
  }
  // Packets whose TTL ran out in a node, by its own count.
  std::int64_t expired(int node) {
    std::int64_t count = 0;
    EXPECT_TRUE(inside(node, [&]() -> Status {
      // Of the thread: the test's other threads are in other namespaces.
      std::ifstream file("/proc/thread-self/net/snmp");
      std::string word;
      std::vector<std::string> names;
      std::string line;
      while (std::getline(file, line)) {
        if (!line.starts_with("Ip: ")) continue;
        std::istringstream words(line);
        std::vector<std::string> fields;
        while (words >> word) fields.push_back(word);
        for (std::size_t i = 0; i < names.size() && i < fields.size(); ++i)
          if (names[i] == "InHdrErrors") count = std::stoll(fields[i]);
        names = fields;
      }
      return {};
    }));
    return count;
  }
  static std::map<std::string, json::Object> routers(const json::Object& report) {
    std::map<std::string, json::Object> found;
    for (const auto& router : report.at("routers").as_array())
      found.emplace(router.as_object().at("address").as_string(), router.as_object());
    return found;
  }
};

TEST_F(ScaleTest, EveryRouterAtTheKernelsDefaultLimits) {
  limit_icmp_as_shipped();
  const auto before = expired(3);
  const auto report =
      trace({"--no-names", "--method", "udp", "--global-stops", "--targets", target_file(4, 75)});
  const auto met = expired(3) - before;
  const auto found = routers(report);
  for (int link = 0; link < 3; ++link) EXPECT_EQ(found.count(right_v4(link)), 1u);
  // Bounded: a probe for each target, and some.
  EXPECT_LE(report.at("probes_sent").as_int64(), 600);
  EXPECT_LE(met, 500);
  const auto& last = found.at(right_v4(2));
  EXPECT_TRUE(last.at("limited").as_bool());
  // The budget of one router for a second, and its burst.
  EXPECT_LE(last.at("probes_per_second_max").as_int64(), 160);
  EXPECT_NEAR(static_cast<double>(last.at("probes").as_int64()), static_cast<double>(met), 60);
}

TEST_F(ScaleTest, StopSetsSaveProbes) {
  kernel_setting(0, "net/ipv4/ping_group_range", "1000 1000");
  const std::vector<std::string> common{"--no-names",    "--rate",    "20000",
                                        "--router-rate", "1000",      "--in-flight",
                                        "1024",          "--targets", target_file(4, 250)};
  auto with = common;
  with.push_back("--global-stops");
  const auto few = trace(with);
  EXPECT_LE(few.at("probes_sent").as_int64(), 1150);
  EXPECT_EQ(routers(few).size(), 3u);
  const auto local = trace(common);
  EXPECT_LE(local.at("probes_sent").as_int64(), 2400);
  for (const auto& one : local.at("traces").as_array())
    EXPECT_TRUE(one.as_object().at("reached").as_bool());
}

TEST_F(ScaleTest, UdpTakesOverWherePingDisappears) {
  kernel_setting(0, "net/ipv4/ping_group_range", "1000 1000");
  nft(1,
      "table inet t { chain c { type filter hook prerouting priority 0; icmp type echo-request "
      "drop; icmpv6 type echo-request drop; }; }");
  for (const std::string& user : {kUserV4, kUserV6}) {
    const auto report = trace({"--no-names", "--timeout", "100", user});
    const auto& one = report.at("traces").as_array().at(0).as_object();
    EXPECT_TRUE(one.at("reached").as_bool()) << user;
    EXPECT_EQ(one.at("method").as_string(), "udp");
  }
}

// Two links between n1 and n2, one or the other by addresses and ports.
TEST_F(ScaleTest, BalancedPathIsSeenAndNotMixedUp) {
  ip({"-n", name(1), "link", "add", "side", "type", "veth", "peer", "name", "side", "netns",
      name(2)});
  ip({"-n", name(1), "addr", "add", "198.51.100.100/31", "dev", "side"});
  ip({"-n", name(2), "addr", "add", "198.51.100.101/31", "dev", "side"});
  for (const int node : {1, 2}) {
    ip({"-n", name(node), "link", "set", "side", "up"});
    kernel_setting(node, "net/ipv4/conf/all/rp_filter", "0");
    kernel_setting(node, "net/ipv4/conf/side/rp_filter", "0");
    kernel_setting(node, "net/ipv4/conf/left/rp_filter", "0");
    kernel_setting(node, "net/ipv4/conf/right/rp_filter", "0");
  }
  kernel_setting(1, "net/ipv4/fib_multipath_hash_policy", "1");
  ip({"-n", name(1), "route", "replace", "default", "nexthop", "via", right_v4(1), "nexthop", "via",
      "198.51.100.101"});
  const auto report =
      trace({"--no-names", "--method", "udp", "--flows", "16", "--targets", target_file(20, 1)});
  const auto found = routers(report);
  ASSERT_EQ(found.count("198.51.100.101"), 1u);
  EXPECT_TRUE(found.at("198.51.100.101").at("balanced").as_bool());
  EXPECT_TRUE(found.at(right_v4(1)).at("balanced").as_bool());
  EXPECT_EQ(found.at(right_v4(1)).at("beside"), (json::Array{"198.51.100.101"}));
  EXPECT_FALSE(found.at(right_v4(0)).at("balanced").as_bool());
  EXPECT_FALSE(found.at(right_v4(2)).at("balanced").as_bool());
  // Each path on its own is one that packets take: four hops, none of them silent.
  for (const auto& one : report.at("traces").as_array()) {
    EXPECT_EQ(one.as_object().at("hops").as_array().size(), 4u);
    for (const auto& hop : one.as_object().at("hops").as_array())
      EXPECT_NE(hop.as_object().at("address").as_string(), "");
  }
}

// The users' answers go from n4 straight to n1, those of the routers the way back.
TEST_F(ScaleTest, AnotherWayBackIsSeen) {
  ip({"-n", name(1), "link", "add", "side", "type", "veth", "peer", "name", "side", "netns",
      name(4)});
  ip({"-n", name(1), "addr", "add", "198.51.100.100/31", "dev", "side"});
  ip({"-n", name(4), "addr", "add", "198.51.100.101/31", "dev", "side"});
  for (const int node : {1, 4}) ip({"-n", name(node), "link", "set", "side", "up"});
  for (const char* of : {"all", "side", "left"})
    kernel_setting(1, std::string("net/ipv4/conf/") + of + "/rp_filter", "0");
  ip({"-n", name(4), "route", "replace", left_v4(0) + "/31", "via", "198.51.100.100"});
  kernel_setting(0, "net/ipv4/ping_group_range", "1000 1000");
  for (const char* method : {"udp", "ping"}) {
    const auto report = trace({"--no-names", "--method", method, kUserV4});
    const auto hops = report.at("traces").as_array().at(0).at("hops").as_array();
    ASSERT_EQ(hops.size(), 4u) << method;
    for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(hops[i].at("back_hops"), i + 1) << method;
    EXPECT_EQ(hops[3].at("back_hops"), 2) << method;
    const auto same_way = trace({"--no-names", "--method", method, kUserV6});
    for (const auto& hop : same_way.at("traces").as_array().at(0).at("hops").as_array())
      EXPECT_EQ(hop.at("back_hops"), hop.at("ttl")) << method;
  }
}

std::size_t open_sockets() {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const auto link = std::filesystem::read_symlink(entry.path(), gone).string();
    if (link.starts_with("socket:")) ++count;
  }
  return count;
}

// What a checkpoint does to the agent's survey: the task is cancelled in the middle, nothing may
// stay open; afterwards it is asked again and goes on with what is missing.
TEST_F(ScaleTest, ClosedBeforeACheckpointAndReopenedAfterIt) {
  ASSERT_TRUE(inside(0, []() -> Status {
    std::vector<Address> targets;
    for (int block = 0; block < kBlocks; ++block)
      targets.push_back(*Address::parse("11.0." + std::to_string(block) + ".1"));
    IoContext loop(1);
    SystemClock clock;
    MappedTracer tracer(clock);
    TraceLimits limits;
    limits.method = TraceMethod::kUdp;
    limits.probes_per_second = 300;
    const std::size_t before = open_sockets();
    boost::asio::cancellation_signal freeze;
    bool cancelled = false;
    boost::asio::co_spawn(
        loop, tracer.trace(targets, limits),
        boost::asio::bind_cancellation_slot(
            freeze.slot(), [&](std::exception_ptr failure, const Result<TraceReport>&) {
              cancelled = failure != nullptr;
            }));
    boost::asio::steady_timer timer(loop, Millis(400));
    timer.async_wait([&](auto) {
      EXPECT_GT(open_sockets(), before);
      freeze.emit(boost::asio::cancellation_type::terminal);
    });
    loop.run();
    EXPECT_TRUE(cancelled);
    EXPECT_EQ(open_sockets(), before);
    std::size_t known = 0;
    for (const Address& target : targets)
      if (const auto path = tracer.map().find(target); path && path->reached) ++known;
    EXPECT_GT(known, 0u);
    EXPECT_LT(known, targets.size());

    loop.restart();
    limits.probes_per_second = 20'000;
    limits.probes_per_router_per_second = 20'000;
    std::optional<Result<TraceReport>> report;
    boost::asio::co_spawn(loop, tracer.trace(targets, limits),
                          [&](std::exception_ptr failure, Result<TraceReport> result) {
                            EXPECT_FALSE(failure);
                            report = std::move(result);
                          });
    loop.run();
    if (!report || !*report) return fail(Code::kInternal, "no second report");
    EXPECT_EQ((*report)->traces.size(), targets.size());
    for (const auto& path : (*report)->traces)
      EXPECT_TRUE(path.reached) << path.target.to_string() << " " << path.note;
    // Those that were known are not asked again.
    EXPECT_LE((*report)->probes_sent, (targets.size() - known) * 3 + 100);
    EXPECT_EQ((*report)->routers.size(), 3u);
    EXPECT_EQ(open_sockets(), before);
    return {};
  }));
}

}  // namespace
}  // namespace icon::discovery
