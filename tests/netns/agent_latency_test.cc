// The latency monitor on the real kernel: IPv4, IPv6 and v4-mapped connections, long and short,
// without a capability. The test process moves into a network namespace of its own.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "agent/latency_monitor.h"
#include "base/fd.h"
#include "base/subprocess.h"
#include "tests/ipv6_local.h"

namespace icon::agent {
namespace {

constexpr std::uint16_t kPort = 8080;
constexpr std::uint16_t kOtherPort = 8081;

void must(std::vector<std::string> argv) {
  Command command;
  command.argv = std::move(argv);
  const auto status = run_checked_blocking(std::move(command));
  ASSERT_TRUE(status) << status.error().message;
}

UniqueFd listen_on(int family, std::uint16_t port, bool v6_only) {
  UniqueFd fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int yes = 1, only = v6_only ? 1 : 0;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (family == AF_INET6) setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
  sockaddr_storage storage{};
  const auto any = *Address::parse(family == AF_INET6 ? "::" : "0.0.0.0");
  const socklen_t size = any.to_sockaddr(port, storage);
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&storage), size), 0);
  EXPECT_EQ(listen(fd.get(), 64), 0);
  return fd;
}

struct Connection {
  UniqueFd user;
  UniqueFd service;

  // A question and its answer, so that the service's side has a round trip to measure.
  void talk() const {
    char byte = 'x';
    ASSERT_EQ(send(user.get(), &byte, 1, 0), 1);
    ASSERT_EQ(recv(service.get(), &byte, 1, 0), 1);
    ASSERT_EQ(send(service.get(), &byte, 1, 0), 1);
    ASSERT_EQ(recv(user.get(), &byte, 1, 0), 1);
    // The next question carries the acknowledgement.
    ASSERT_EQ(send(user.get(), &byte, 1, 0), 1);
    ASSERT_EQ(recv(service.get(), &byte, 1, 0), 1);
  }
};

Connection connect_from(const UniqueFd& listener, const char* from, const char* to,
                        std::uint16_t port) {
  const auto source = *Address::parse(from);
  sockaddr_storage storage{};
  socklen_t size = source.to_sockaddr(0, storage);
  Connection connection;
  connection.user =
      UniqueFd(socket(source.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(bind(connection.user.get(), reinterpret_cast<sockaddr*>(&storage), size), 0) << from;
  size = Address::parse(to)->to_sockaddr(port, storage);
  if (connect(connection.user.get(), reinterpret_cast<sockaddr*>(&storage), size) != 0) {
    ADD_FAILURE() << "connect to " << to << ": " << std::strerror(errno);
    return connection;
  }
  connection.service = UniqueFd(accept(listener.get(), nullptr, nullptr));
  EXPECT_TRUE(connection.service.valid());
  return connection;
}

class AgentLatencyTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    ASSERT_EQ(geteuid(), 0U) << "this test makes a network namespace: run it as root";
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    must({"ip", "link", "set", "lo", "up"});
    for (const char* address : {"198.51.100.1/32", "198.51.100.77/32", "203.0.113.5/32"})
      must({"ip", "address", "add", address, "dev", "lo"});
    must({"ip", "address", "add", "2001:db8:7::1/128", "dev", "lo", "nodad"});
    must({"/bin/sh", "-c", icon::test::until_local("2001:db8:7::1")});
  }

  const PrefixLatency* find(const char* prefix) {
    seen_ = table_.snapshot();
    for (const auto& view : seen_)
      if (view.prefix.to_string() == prefix) return &view;
    return nullptr;
  }

  SystemClock clock_;
  IoContext loop_{1};
  LatencyTable table_{clock_};
  LatencyMonitor monitor_{loop_, table_};
  std::vector<PrefixLatency> seen_;
};

TEST_F(AgentLatencyTest, SeesEveryFamilyByPrefix) {
  const auto dual = listen_on(AF_INET6, kPort, false);
  const auto other = listen_on(AF_INET, kOtherPort, false);
  std::vector<Connection> connections;
  connections.push_back(connect_from(dual, "198.51.100.1", "203.0.113.5", kPort));
  connections.push_back(connect_from(dual, "198.51.100.77", "203.0.113.5", kPort));
  connections.push_back(connect_from(dual, "2001:db8:7::1", "2001:db8:7::1", kPort));
  connections.push_back(connect_from(other, "203.0.113.5", "198.51.100.1", kOtherPort));
  for (const auto& connection : connections) connection.talk();

  ASSERT_TRUE(monitor_.start({kPort}));
  const auto* mapped = find("198.51.100.0/24");
  ASSERT_NE(mapped, nullptr);
  EXPECT_EQ(mapped->connections, 2);
  EXPECT_EQ(mapped->weight, 2);
  EXPECT_GT(mapped->rtt_us_p50, 0U);
  EXPECT_LT(mapped->rtt_us_p50, 20'000U);
  const auto* v6 = find("2001:db8:7::/48");
  ASSERT_NE(v6, nullptr);
  EXPECT_EQ(v6->connections, 1);
  EXPECT_EQ(find("203.0.113.0/24"), nullptr) << "a port that nobody asked for";

  connections.clear();
  ASSERT_TRUE(monitor_.dump_now());
  EXPECT_EQ(find("198.51.100.0/24")->connections, 0);
}

TEST_F(AgentLatencyTest, SeesConnectionsThatEndBetweenTwoDumps) {
  const auto v4 = listen_on(AF_INET, kPort, false);
  const auto v6 = listen_on(AF_INET6, kPort, true);
  ASSERT_TRUE(monitor_.start({kPort}));
  for (int i = 0; i < 5; ++i) {
    connect_from(v4, "203.0.113.5", "198.51.100.1", kPort).talk();
    connect_from(v6, "2001:db8:7::1", "2001:db8:7::1", kPort).talk();
  }
  const auto end = std::chrono::steady_clock::now() + Millis(10'000);
  const auto complete = [&] {
    const auto* one = find("203.0.113.0/24");
    if (one == nullptr || one->weight < 5) return false;
    const auto* two = find("2001:db8:7::/48");
    return two != nullptr && two->weight >= 5;
  };
  while (!complete() && std::chrono::steady_clock::now() < end) loop_.run_one_for(Millis(100));
  EXPECT_TRUE(complete());
  EXPECT_GT(find("203.0.113.0/24")->rtt_us_p50, 0U);
}

TEST_F(AgentLatencyTest, NothingIsOpenWhenStopped) {
  const auto count = [] {
    int open = 0;
    for (int fd = 0; fd < 256; ++fd) open += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return open;
  };
  ASSERT_TRUE(monitor_.start({kPort}));
  monitor_.stop();
  const int before = count();
  ASSERT_TRUE(monitor_.start({kPort}));
  EXPECT_EQ(count(), before + 1);
  monitor_.stop();
  monitor_.stop();
  EXPECT_EQ(count(), before);
  EXPECT_FALSE(monitor_.dump_now());
}

}  // namespace
}  // namespace icon::agent
