// icon-tunnel at work, two processes in two namespaces:
//
//   left: icontun0 10.10.0.1 == UDP == 10.9.0.1 ---- 10.9.0.2 == UDP == icontun0 10.10.0.2: right
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <thread>

#include "base/encoding.h"
#include "base/file.h"
#include "base/log.h"
#include "base/subprocess.h"
#include "supervisor/net/netns_files.h"
#include "supervisor/tunnel/device.h"
#include "tunnel_support.h"

namespace icon::tunnel {
namespace {

using test::ask;
using test::InNetns;
using test::must;
using test::prefix;
using test::shell;

struct Side {
  std::string netns;
  std::string outer;
  std::string inner;
  wg::Identity key = wg::Identity::from_private(wg::Secret::random());
  std::string socket;
  std::unique_ptr<ChildProcess> process;
  int port = 0;
};

class TunnelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    log::init(log::Level::kInfo, "/dev/null");
    directory_ = "/run/" + prefix() + "dir";
    ASSERT_TRUE(make_directories(directory_, 0700));
    left_.outer = "10.9.0.1";
    left_.inner = "10.10.0.1";
    right_.outer = "10.9.0.2";
    right_.inner = "10.10.0.2";
    for (auto* side : {&left_, &right_}) {
      const std::string name = side == &left_ ? "left" : "right";
      side->netns = prefix() + name;
      side->socket = directory_ + "/" + name + ".sock";
      ASSERT_TRUE(net::ensure_netns(side->netns));
    }
    must("",
         "ip link add out netns " + left_.netns + " type veth peer name out netns " + right_.netns);
    for (const auto* side : {&left_, &right_})
      must(side->netns,
           "ip link set lo up; ip addr add " + side->outer + "/30 dev out; ip link set out up");
  }
  void TearDown() override {
    for (auto* side : {&left_, &right_}) {
      side->process.reset();
      EXPECT_TRUE(net::remove_netns(side->netns));
    }
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  void start(Side& side) {
    int ready[2];
    ASSERT_EQ(pipe2(ready, O_CLOEXEC), 0);
    UniqueFd ready_read(ready[0]);
    UniqueFd ready_write(ready[1]);
    ChildProcess::Options options;
    options.argv = {"nsenter",
                    "--net=/run/netns/" + side.netns,
                    std::string(ICON_BIN_DIR) + "/icon-tunnel",
                    "--interface",
                    "icontun0",
                    "--socket",
                    side.socket,
                    "--log",
                    directory_ + "/log",
                    "--ready-fd",
                    "3"};
    options.inherit = {{ready_write.get(), 3}};
    auto process = ChildProcess::start(std::move(options));
    ASSERT_TRUE(process) << process.error().message;
    side.process = std::make_unique<ChildProcess>(std::move(*process));
    ready_write.reset();
    char byte = 0;
    ASSERT_EQ(read(ready_read.get(), &byte, 1), 1) << *read_file(directory_ + "/log", 4096);
    const std::string port =
        side.port == 0 ? "" : "listen_port=" + std::to_string(side.port) + "\n";
    ASSERT_EQ(ask(side.socket, "set=1\nprivate_key=" + hex_encode(side.key.private_key.bytes()) +
                                   "\n" + port + "\n"),
              "errno=0\n\n");
    side.port = state(side).listen_port;
    must(side.netns, "ip addr replace " + side.inner +
                         "/30 dev icontun0; "
                         "ip link set icontun0 mtu 1420 up");
  }
  static std::string peer_request(const Side& peer) {
    return "set=1\npublic_key=" + hex_encode(peer.key.public_key) + "\nendpoint=" + peer.outer +
           ":" + std::to_string(peer.port) +
           "\npersistent_keepalive_interval=10\nreplace_allowed_ips=true\nallowed_ip=0.0.0.0/0\n\n";
  }
  void connect_both() {
    start(left_);
    start(right_);
    ASSERT_EQ(ask(left_.socket, peer_request(right_)), "errno=0\n\n");
    ASSERT_EQ(ask(right_.socket, peer_request(left_)), "errno=0\n\n");
  }
  static TunnelState state(const Side& side) {
    auto state = parse_get(ask(side.socket, "get=1\n\n"));
    EXPECT_TRUE(state);
    return state.value_or(TunnelState{});
  }
  // Shell: until tcpdump has opened the interface.
  std::string listening() const {
    return "until grep -q listening " + directory_ + "/err; do sleep 0.01; done; ";
  }
  static long peak_kib(const Side& side) {
    std::ifstream status("/proc/" + std::to_string(side.process->pid()) + "/status");
    std::string line;
    while (std::getline(status, line))
      if (line.starts_with("VmHWM:")) return std::stol(line.substr(6));
    return 1L << 30;
  }
  bool pings() { return shell(left_.netns, "ping -c3 -i0.1 -W2 " + right_.inner).ok(); }
  // Sends `bytes` from left to right over TCP and compares what arrives with what was sent.
  bool streams(
      std::size_t bytes, const std::function<void()>& meanwhile = [] {}) {
    return test::streams(left_.netns, right_.netns, right_.inner, bytes, meanwhile);
  }

  std::string directory_;
  Side left_;
  Side right_;
};

TEST_F(TunnelTest, PingAndFiftyMegabytes) {
  connect_both();
  EXPECT_TRUE(pings());
  EXPECT_TRUE(streams(50'000'000));
  const auto after = state(right_);
  ASSERT_EQ(after.peers.size(), 1u);
  EXPECT_GT(after.peers[0].rx_bytes, 50'000'000u);
  EXPECT_EQ(after.drop("forged") + after.drop("replayed") + after.drop("malformed"), 0u);
  EXPECT_GT(state(left_).peers.at(0).last_handshake_ms, 0);
  for (const auto* side : {&left_, &right_}) EXPECT_LT(peak_kib(*side), 32 * 1024);
}

TEST_F(TunnelTest, TheWireShowsNothingOfIt) {
  connect_both();
  ASSERT_TRUE(pings());
  must(right_.netns,
       "timeout 5 tcpdump -i out -w " + directory_ + "/wire -U -c 6 udp >/dev/null 2>" +
           directory_ + "/err & " + listening() + "nsenter --net=/run/netns/" + left_.netns +
           " ping -c3 -i0.1 -p 5a5a5a5a5a5a5a5a " + right_.inner + " >/dev/null; wait");
  const auto wire = read_file(directory_ + "/wire", 1 << 20);
  ASSERT_TRUE(wire);
  EXPECT_GT(wire->size(), 500u);
  EXPECT_EQ(wire->find("\x5a\x5a\x5a\x5a"), std::string::npos);
}

// RFC 6040: the inner packet's ECN bits are outside too, and a router's mark comes back in.
TEST_F(TunnelTest, CongestionOutsideIsToldInside) {
  connect_both();
  ASSERT_TRUE(pings());
  const std::string port = std::to_string(right_.port);
  must(right_.netns,
       "nft add table ip t; nft add chain ip t in '{ type filter hook prerouting priority 0; }'; "
       "nft add rule ip t in iifname out udp dport " +
           port +
           " ip ecn ect0 counter ip ecn set ce; "
           "nft add rule ip t in iifname icontun0 ip ecn ce counter");
  const std::string ping = "ping -c4 -i0.05 -W1 " + right_.inner;
  EXPECT_TRUE(shell(left_.netns, ping + " -Q 2").ok());
  const auto seen = shell(right_.netns, "nft list chain ip t in | grep -c 'packets 4 '");
  EXPECT_EQ(seen.output, "2\n") << shell(right_.netns, "nft list chain ip t in").output;
  // One that does not know the marks must not get them: it is dropped instead.
  must(right_.netns, "nft flush chain ip t in; nft add rule ip t in iifname out udp dport " + port +
                         " ip ecn set ce");
  EXPECT_FALSE(shell(left_.netns, ping).ok());
  must(right_.netns, "nft delete table ip t");
  EXPECT_TRUE(pings());
}

TEST_F(TunnelTest, ReplayedForgedAndTruncatedDatagramsAreDroppedAndCounted) {
  connect_both();
  ASSERT_TRUE(pings());
  // What left sends, seen on the wire and sent again by a third party on the same network.
  must(right_.netns, "timeout 5 tcpdump -i out -w " + directory_ + "/wire -U -c 1 src " +
                         left_.outer + " and udp >/dev/null 2>" + directory_ + "/err & " +
                         listening() + "nsenter --net=/run/netns/" + left_.netns + " ping -c1 " +
                         right_.inner + " >/dev/null; wait");
  const auto wire = read_file(directory_ + "/wire", 1 << 20);
  ASSERT_TRUE(wire);
  // pcap file header 24, record header 16, Ethernet 14, IPv4 20, UDP 8.
  ASSERT_GT(wire->size(), 82u + wg::kTransportOverhead);
  const std::string datagram = wire->substr(82);
  const auto before = state(right_);
  InNetns(left_.netns, [&] {
    UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{AF_INET, htons(static_cast<std::uint16_t>(right_.port)), {}, {}};
    inet_pton(AF_INET, right_.outer.c_str(), &to.sin_addr);
    const auto throw_in = [&](const std::string& bytes) {
      ASSERT_EQ(sendto(fd.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&to),
                       sizeof to),
                static_cast<ssize_t>(bytes.size()));
    };
    throw_in(datagram);
    std::string forged = datagram;
    forged[20] ^= 1;
    throw_in(forged);
    throw_in(datagram.substr(0, 10));
    throw_in("");
    throw_in(std::string(1400, 'x'));
  });
  ASSERT_TRUE(pings()) << "and what has been sent since is answered, so the others were read";
  const auto after = state(right_);
  EXPECT_EQ(after.drop("replayed"), before.drop("replayed") + 1);
  EXPECT_EQ(after.drop("forged"), before.drop("forged") + 1);
  EXPECT_EQ(after.drop("malformed"), before.drop("malformed") + 3);
}

TEST_F(TunnelTest, AStreamSurvivesTheCrashOfOneSide) {
  connect_both();
  ASSERT_TRUE(pings());
  EXPECT_TRUE(streams(50'000'000, [&] {
    for (auto* side : {&right_, &left_}) {
      side->process->signal(SIGKILL);
      ASSERT_TRUE(side->process->wait(Millis(5'000)));
      // The interface, its address and its routes have stayed.
      EXPECT_TRUE(shell(side->netns, "ip route get 10.10.0.1 | grep -qE 'icontun0|local'").ok());
      start(*side);
      ASSERT_EQ(ask(side->socket, peer_request(side == &right_ ? left_ : right_)), "errno=0\n\n");
    }
  }));
}

TEST_F(TunnelTest, EndsCleanly) {
  connect_both();
  left_.process->signal(SIGTERM);
  EXPECT_EQ(left_.process->wait(Millis(5'000)), 0);
  EXPECT_FALSE(shell(left_.netns, "ip link show icontun0").ok());
  EXPECT_FALSE(std::filesystem::exists(left_.socket));
  must(right_.netns, "ip link delete icontun0");
  EXPECT_EQ(right_.process->wait(Millis(5'000)), 0);
  EXPECT_FALSE(std::filesystem::exists(right_.socket));
}

TEST_F(TunnelTest, AnInterfaceHasOneProcess) {
  start(left_);
  EXPECT_FALSE(shell(left_.netns, std::string(ICON_BIN_DIR) +
                                      "/icon-tunnel --interface icontun0 --socket " + directory_ +
                                      "/other --log " + directory_ + "/log2")
                   .ok());
  EXPECT_NE(read_file(directory_ + "/log2", 4096).value_or("").find("in use"), std::string::npos);
}

TEST_F(TunnelTest, WgFindsAPublishedTunnel) {
  const std::string name = "tunp" + std::to_string(getpid());
  const std::string link = std::string(kWireGuardDirectory) + "/" + name + ".sock";
  const auto seen = shell(
      left_.netns, std::string(ICON_BIN_DIR) + "/icon-tunnel --interface " + name + " --socket " +
                       directory_ + "/s --publish --log " + directory_ +
                       "/log & p=$!; until test " + "-S " + link +
                       "; do sleep 0.01; done; wg show " + name + " listen-port; kill $p; wait $p");
  EXPECT_GT(std::atoi(seen.output.c_str()), 0) << seen.error_output;
  EXPECT_FALSE(std::filesystem::exists(std::filesystem::symlink_status(link)));
}

TEST_F(TunnelTest, KeepsNoPowerAndNoSecretInSight) {
  connect_both();
  const std::string proc = "/proc/" + std::to_string(left_.process->pid());
  EXPECT_NE(read_file(proc + "/status", 65536)->find("CapEff:\t0000000000000000"),
            std::string::npos);
  EXPECT_NE(read_file(proc + "/status", 65536)->find("NoNewPrivs:\t1"), std::string::npos);
  const std::string key = hex_encode(left_.key.private_key.bytes());
  EXPECT_EQ(read_file(proc + "/cmdline", 65536)->find(key), std::string::npos);
  EXPECT_EQ(read_file(directory_ + "/log", 65536).value_or("").find(key), std::string::npos);
  std::ifstream rollup(proc + "/smaps_rollup");
  std::string line;
  long rss_kib = 0;
  while (std::getline(rollup, line))
    if (line.starts_with("Rss:")) rss_kib = std::stol(line.substr(4));
  EXPECT_GT(rss_kib, 0);
  EXPECT_LT(rss_kib, 16 * 1024);
  struct stat info {};
  ASSERT_EQ(stat(left_.socket.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(TunnelTest, ControlRefusesNonsense) {
  start(left_);
  EXPECT_EQ(ask(left_.socket, "set=1\nlisten_port=99999\n\n"), "errno=22\n\n");
  EXPECT_EQ(ask(left_.socket, "hello\n\n"), "errno=22\n\n");
  EXPECT_EQ(ask(left_.socket, std::string(100'000, 'x')), "");
  EXPECT_EQ(state(left_).listen_port, left_.port) << "and goes on";
}

// Two minutes pass in two seconds: rekeying, which the unit tests see step by step, under a real
// stream.
class FastClock final : public Clock {
 public:
  UtcMillis utc_ms() const override { return real_.utc_ms(); }
  SteadyTime steady() const override {
    return SteadyTime((real_.steady() - begin_) * 60 + std::chrono::hours(1));
  }

 private:
  SystemClock real_;
  SteadyTime begin_ = std::chrono::steady_clock::now();
};

TEST_F(TunnelTest, RekeysUnderAStream) {
  const FastClock clock;
  int stop[2];
  ASSERT_EQ(pipe2(stop, O_CLOEXEC), 0);
  UniqueFd stop_read(stop[0]);
  UniqueFd stop_write(stop[1]);
  std::unique_ptr<Device> devices[2];
  const auto make = [&](Side& side, std::unique_ptr<Device>& device) {
    InNetns(side.netns, [&] {
      auto made = Device::create({.interface = "icontun0", .socket_path = side.socket}, clock);
      ASSERT_TRUE(made) << made.error().message;
      device = std::move(*made);
    });
  };
  make(left_, devices[0]);
  make(right_, devices[1]);
  std::thread loops[2];
  for (int i = 0; i < 2; ++i)
    loops[i] = std::thread([&, i] { EXPECT_TRUE(devices[i]->run(stop_read.get())); });
  for (auto* side : {&left_, &right_}) {
    EXPECT_EQ(ask(side->socket,
                  "set=1\nprivate_key=" + hex_encode(side->key.private_key.bytes()) + "\n\n"),
              "errno=0\n\n");
    side->port = state(*side).listen_port;
    must(side->netns, "ip addr replace " + side->inner +
                          "/30 dev icontun0; "
                          "ip link set icontun0 mtu 1420 up");
  }
  EXPECT_EQ(ask(left_.socket, peer_request(right_)), "errno=0\n\n");
  EXPECT_EQ(ask(right_.socket, peer_request(left_)), "errno=0\n\n");
  const auto begin = std::chrono::steady_clock::now();
  std::set<UtcMillis> handshakes;
  while (std::chrono::steady_clock::now() - begin < std::chrono::seconds(8)) {
    EXPECT_TRUE(streams(10'000'000));
    handshakes.insert(state(left_).peers.at(0).last_handshake_ms);
  }
  EXPECT_GE(handshakes.size(), 4u);
  stop_write.reset();
  for (auto& loop : loops) loop.join();
}

}  // namespace
}  // namespace icon::tunnel
