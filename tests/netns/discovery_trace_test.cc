// icon-trace through real routers, as a user who may do nothing. The topology is drawn in
// discovery_chain.h.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>

#include "tests/netns/discovery_chain.h"

namespace icon::discovery {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

const json::Object& first_trace(const json::Object& report) {
  return report.at("traces").as_array().at(0).as_object();
}

std::vector<std::string> addresses(const json::Object& trace) {
  std::vector<std::string> list;
  for (const auto& hop : trace.at("hops").as_array())
    list.emplace_back(hop.as_object().at("address").as_string());
  return list;
}

class TraceTest : public Chain {
 protected:
  void expect_path(const std::string& target, const std::string& method,
                   const std::string& method_used, const std::vector<std::string>& path) {
    const auto report = trace({"--no-names", "--method", method, target});
    const auto& one = first_trace(report);
    EXPECT_TRUE(one.at("reached").as_bool()) << one.at("note").as_string();
    EXPECT_EQ(one.at("method").as_string(), method_used);
    EXPECT_THAT(addresses(one), ElementsAreArray(path));
    for (const auto& hop : one.at("hops").as_array()) {
      EXPECT_GT(hop.as_object().at("rtt_us").as_int64(), 0);
      EXPECT_LT(hop.as_object().at("rtt_us").as_int64(), 100'000);
    }
  }
  void allow_ping() { kernel_setting(0, "net/ipv4/ping_group_range", "1000 1000"); }
};

TEST_F(TraceTest, TheProgramHasNoPrivilege) {
  const auto outcome =
      run_unprivileged({"grep", "-E", "^(Cap(Prm|Eff|Bnd)|NoNewPrivs|Uid)", "/proc/self/status"});
  EXPECT_THAT(outcome.output, HasSubstr("CapPrm:\t0000000000000000"));
  EXPECT_THAT(outcome.output, HasSubstr("CapEff:\t0000000000000000"));
  EXPECT_THAT(outcome.output, HasSubstr("CapBnd:\t0000000000000000"));
  EXPECT_THAT(outcome.output, HasSubstr("NoNewPrivs:\t1"));
  EXPECT_THAT(outcome.output, HasSubstr("Uid:\t1000\t1000"));
}

TEST_F(TraceTest, UdpV4) { expect_path(kUserV4, "udp", "udp", path_v4()); }
TEST_F(TraceTest, UdpV6) { expect_path(kUserV6, "udp", "udp", path_v6()); }

TEST_F(TraceTest, PingV4) {
  allow_ping();
  expect_path(kUserV4, "ping", "ping", path_v4());
}
TEST_F(TraceTest, PingV6) {
  allow_ping();
  expect_path(kUserV6, "ping", "ping", path_v6());
}

TEST_F(TraceTest, PingWithoutPermissionSaysSo) {
  const auto outcome =
      run_unprivileged({trace_program(), "--no-names", "--method", "ping", kUserV4});
  EXPECT_EQ(outcome.exit_status, 1);
  EXPECT_THAT(outcome.error_output, HasSubstr("ping_group_range"));
}

TEST_F(TraceTest, PingTakesOverWhereUdpIsRefusedHere) {
  allow_ping();
  nft(0, "table inet t { chain c { type filter hook output priority 0; udp dport 33434 drop; }; }");
  expect_path(kUserV4, "auto", "ping", path_v4());
  expect_path(kUserV6, "auto", "ping", path_v6());
}

TEST_F(TraceTest, PingTakesOverWhereUdpDisappears) {
  allow_ping();
  nft(1,
      "table inet t { chain c { type filter hook prerouting priority 0; udp dport 33434 drop; }; "
      "}");
  expect_path(kUserV4, "auto", "ping", path_v4());
}

TEST_F(TraceTest, SilentRouterIsAHole) {
  nft(2,
      "table ip t { chain c { type filter hook output priority 0; "
      "icmp type time-exceeded drop; }; }");
  const auto report = trace({"--no-names", "--timeout", "200", kUserV4});
  const auto& one = first_trace(report);
  EXPECT_TRUE(one.at("reached").as_bool());
  EXPECT_THAT(addresses(one), ElementsAre(right_v4(0), "", right_v4(2), kUserV4));
  EXPECT_EQ(one.at("hops").as_array().at(1).as_object().at("probes").as_int64(), 2);
}

TEST_F(TraceTest, RejectingRouterEndsTheTrace) {
  nft(3,
      "table ip t { chain c { type filter hook forward priority 0; "
      "udp dport 33434 reject with icmp type admin-prohibited; }; }");
  const auto& report = trace({"--no-names", "--method", "udp", kUserV4});
  const auto& one = first_trace(report);
  EXPECT_FALSE(one.at("reached").as_bool());
  EXPECT_THAT(std::string(one.at("note").as_string()), HasSubstr("unreachable, code 13"));
  EXPECT_EQ(addresses(one).size(), 4u);
}

TEST_F(TraceTest, NoRouteIsSaid) {
  Command command;
  command.argv = {"ip", "-n", name(0), "route", "add", "unreachable", "192.0.2.0/24"};
  ASSERT_TRUE(run_checked_blocking(std::move(command)));
  const auto report = trace({"--no-names", "--method", "udp", "192.0.2.1", kUserV4});
  EXPECT_THAT(std::string(first_trace(report).at("note").as_string()), HasSubstr("cannot send"));
  EXPECT_TRUE(report.at("traces").as_array().at(1).as_object().at("reached").as_bool());
}

TEST_F(TraceTest, HundredsOfTargetsAtOnce) {
  std::vector<std::string> arguments{"--no-names", "--rate", "20000"};
  for (int i = 10; i < 210; ++i) arguments.push_back("203.0.113." + std::to_string(i));
  const auto begin = std::chrono::steady_clock::now();
  const auto report = trace(arguments);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  ASSERT_EQ(report.at("traces").as_array().size(), 200u);
  for (const auto& one : report.at("traces").as_array()) {
    EXPECT_TRUE(one.as_object().at("reached").as_bool());
    auto path = path_v4();
    path.back() = one.as_object().at("target").as_string().c_str();
    EXPECT_THAT(addresses(one.as_object()), ElementsAreArray(path));
  }
}

TEST_F(TraceTest, RoutersThatLimitThemselvesAreStillAllFound) {
  // As shipped: a router answers one asker six times at once, then once a second.
  for (const int node : {1, 2, 3}) kernel_setting(node, "net/ipv4/icmp_ratelimit", "1000");
  std::vector<std::string> arguments{"--no-names", "--timeout", "200"};
  for (int i = 10; i < 40; ++i) arguments.push_back("203.0.113." + std::to_string(i));
  const auto report = trace(arguments);
  int whole = 0;
  for (const auto& one : report.at("traces").as_array()) {
    const auto hops = addresses(one.as_object());
    EXPECT_TRUE(one.as_object().at("reached").as_bool());
    ASSERT_EQ(hops.size(), 4u);
    auto path = path_v4();
    path.back() = one.as_object().at("target").as_string().c_str();
    for (std::size_t i = 0; i < hops.size(); ++i) {
      const bool silent = hops[i].empty();
      EXPECT_TRUE(silent || hops[i] == path[i]) << hops[i];
    }
    if (hops == path) ++whole;
  }
  EXPECT_GE(whole, 1);
}

// A router of the old kind in n1: it quotes 8 bytes of UDP and no more, and sends a few lies along.
class OldRouter {
 public:
  // Opens its sockets in the namespace of the calling thread.
  OldRouter()
      : sniffer_(socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_IP))),
        sender_(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP)) {}
  ~OldRouter() {
    ended_ = true;
    if (thread_.joinable()) thread_.join();
  }
  bool start() {
    if (!sniffer_ || !sender_) return false;
    thread_ = std::thread([this] { serve(); });
    return true;
  }

 private:
  void serve() {
    while (!ended_) {
      pollfd ready{sniffer_.get(), POLLIN, 0};
      if (poll(&ready, 1, 20) <= 0) continue;
      std::array<std::uint8_t, 1500> packet{};
      const auto size = recv(sniffer_.get(), packet.data(), packet.size(), 0);
      const bool probe = size >= 28 && packet[8] == 1 && packet[9] == IPPROTO_UDP &&
                         (packet[22] << 8 | packet[23]) == 33434;
      if (!probe) continue;
      in_addr source{};
      std::memcpy(&source, packet.data() + 12, sizeof source);
      // Nothing; half a header; a port that is not ours; another destination.
      send_quote(source, packet, 0);
      send_quote(source, packet, 24);
      auto lie = packet;
      lie[20] ^= 0x55;
      send_quote(source, lie, 28);
      lie = packet;
      lie[19] ^= 0x01;
      send_quote(source, lie, 28);
      // Quotes our payload, but with a cookie that we never sent.
      lie = packet;
      for (int i = 32; i < 40; ++i) lie[static_cast<std::size_t>(i)] ^= 0xff;
      send_quote(source, lie, 40);
      send_quote(source, packet, 28);
    }
  }

  void send_quote(in_addr to, const std::array<std::uint8_t, 1500>& packet, std::size_t bytes) {
    std::vector<std::uint8_t> icmp{11, 0, 0, 0, 0, 0, 0, 0};
    icmp.insert(icmp.end(), packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(bytes));
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i + 1 < icmp.size(); i += 2) sum += icmp[i] << 8 | icmp[i + 1];
    while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
    icmp[2] = static_cast<std::uint8_t>(~sum >> 8);
    icmp[3] = static_cast<std::uint8_t>(~sum);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr = to;
    sendto(sender_.get(), icmp.data(), icmp.size(), 0, reinterpret_cast<sockaddr*>(&address),
           sizeof address);
  }

  UniqueFd sniffer_;
  UniqueFd sender_;
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

TEST_F(TraceTest, EightByteQuotesAndLies) {
  nft(1,
      "table ip t { chain c { type filter hook prerouting priority 0; "
      "udp dport 33434 ip ttl 1 drop; }; }");
  std::unique_ptr<OldRouter> router;
  ASSERT_TRUE(inside(1, [&]() -> Status {
    router = std::make_unique<OldRouter>();
    return {};
  }));
  ASSERT_TRUE(router->start());
  const auto report = trace({"--no-names", "--method", "udp", "--timeout", "300", kUserV4});
  const auto& one = first_trace(report);
  EXPECT_TRUE(one.at("reached").as_bool());
  EXPECT_THAT(addresses(one), ElementsAreArray(path_v4()));
}

}  // namespace
}  // namespace icon::discovery
