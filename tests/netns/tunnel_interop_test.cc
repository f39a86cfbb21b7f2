// icon-tunnel against wireguard-go, configured by `wg` on both sides:
//
//   ours: 10.10.0.1, fd10::1 == UDP == 10.9.1.1 ---- mid ---- 10.9.2.1 == UDP == 10.10.0.2: theirs
//                                      fd09:1::1              fd09:2::1
//
// mid forwards, or has a Relay that the two take for each other.
#include <fmt/format.h>
#include <signal.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <set>

#include "base/encoding.h"
#include "base/file.h"
#include "base/log.h"
#include "supervisor/net/netns_files.h"
#include "supervisor/tunnel/uapi.h"
#include "supervisor/tunnel/wg/noise.h"
#include "tests/eventually.h"
#include "tests/ipv6_local.h"
#include "tunnel_relay.h"

namespace icon::tunnel {
namespace {

using icon::test::eventually;
using test::ask;
using test::InNetns;
using test::must;
using test::prefix;
using test::shell;
using test::streams;

constexpr std::uint16_t kPort = 51'820;
constexpr std::uint16_t kRelayPort = 51'999;

struct Side {
  std::string netns;
  std::string interface;
  std::string outer_v4;
  std::string outer_v6;
  std::string inner_v4;
  std::string inner_v6;
  wg::Identity key = wg::Identity::from_private(wg::Secret::random());
  std::unique_ptr<ChildProcess> process;

  std::string public_key() const { return base64_encode_standard(key.public_key); }
  std::string socket() const { return "/var/run/wireguard/" + interface + ".sock"; }
  std::string endpoint(bool v4) const {
    return (v4 ? outer_v4 : "[" + outer_v6 + "]") + ":" + std::to_string(kPort);
  }
};

class InteropTest : public ::testing::Test {
 protected:
  void SetUp() override {
    log::init(log::Level::kInfo, "/dev/null");
    directory_ = "/run/" + prefix() + "dir";
    mid_ = prefix() + "mid";
    ASSERT_TRUE(make_directories(directory_, 0700));
    ASSERT_TRUE(net::ensure_netns(mid_));
    must(mid_,
         "ip link set lo up; echo 1 > /proc/sys/net/ipv4/ip_forward; "
         "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
    int number = 0;
    for (auto* side : {&ours_, &theirs_}) {
      const std::string n = std::to_string(++number);
      side->netns = prefix() + (number == 1 ? "ours" : "theirs");
      side->interface = "wgt" + std::to_string(getpid()) + n;
      side->outer_v4 = "10.9." + n + ".1";
      side->outer_v6 = "fd09:" + n + "::1";
      side->inner_v4 = "10.10.0." + n;
      side->inner_v6 = "fd10::" + n;
      ASSERT_TRUE(net::ensure_netns(side->netns));
      must("", "ip link add out netns " + side->netns + " type veth peer name to" + n + " netns " +
                   mid_);
      must(mid_, "ip addr add 10.9." + n + ".254/24 dev to" + n + "; ip addr add fd09:" + n +
                     "::254/64 dev to" + n + " nodad; ip link set to" + n + " up");
      must(side->netns, "ip link set lo up; ip link set out up; ip addr add " + side->outer_v4 +
                            "/24 dev out; ip addr add " + side->outer_v6 +
                            "/64 dev out nodad; ip route add default via 10.9." + n +
                            ".254; ip route add default via fd09:" + n + "::254");
    }
    start(ours_, {std::string(ICON_BIN_DIR) + "/icon-tunnel", "--log", directory_ + "/log",
                  "--interface", ours_.interface});
    start(theirs_, {"wireguard-go", "-f", theirs_.interface});
  }
  void TearDown() override {
    for (auto* side : {&ours_, &theirs_}) {
      if (side->process) {
        side->process->signal(SIGTERM);
        (void)side->process->wait(Millis(5'000));
      }
      side->process.reset();
      EXPECT_FALSE(std::filesystem::exists(side->socket()));
      EXPECT_TRUE(net::remove_netns(side->netns));
    }
    EXPECT_TRUE(net::remove_netns(mid_));
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  void start(Side& side, std::vector<std::string> argv) {
    ChildProcess::Options options;
    options.argv = {"nsenter", "--net=/run/netns/" + side.netns};
    options.argv.insert(options.argv.end(), argv.begin(), argv.end());
    auto process = ChildProcess::start(std::move(options));
    ASSERT_TRUE(process) << process.error().message;
    side.process = std::make_unique<ChildProcess>(std::move(*process));
    const std::string key = directory_ + "/" + side.interface;
    ASSERT_TRUE(
        write_file_atomic(key, base64_encode_standard(side.key.private_key.bytes()) + "\n", 0600));
    // Not by wg: it unlinks a socket that refuses it, and wireguard-go's does until it listens.
    ASSERT_TRUE(eventually([&] { return !ask(side.socket(), "get=1\n\n").empty(); }));
    must(side.netns, "wg set " + side.interface + " private-key " + key + " listen-port " +
                         std::to_string(kPort) + "; ip addr add " + side.inner_v4 + "/24 dev " +
                         side.interface + "; ip addr add " + side.inner_v6 + "/64 dev " +
                         side.interface + " nodad; ip link set " + side.interface +
                         " mtu 1420 up; " + icon::test::until_local(side.inner_v6));
    // wireguard-go hears by netlink that it is up, and drops what comes before; then it binds.
    ASSERT_TRUE(eventually([&] {
      return shell(side.netns, "ss -Hlun sport = :" + std::to_string(kPort)).output != "";
    }));
  }
  // `endpoint` empty: learned from the other side.
  static void set_peer(const Side& side, const Side& peer, const std::string& endpoint,
                       const std::string& more = "") {
    must("", "wg set " + side.interface + " peer " + peer.public_key() + " allowed-ips " +
                 peer.inner_v4 + "/32," + peer.inner_v6 + "/128" +
                 (endpoint.empty() ? "" : " endpoint " + endpoint) + more);
  }
  void connect(bool v4 = true) {
    set_peer(ours_, theirs_, theirs_.endpoint(v4));
    set_peer(theirs_, ours_, ours_.endpoint(v4));
  }
  static bool pings(const Side& from, const std::string& to) {
    // After the last one it waits for an interval only, however long -W is.
    const auto seen = shell(from.netns, "ping -c3 -i0.3 -W2 " + to);
    const bool all = seen.output.find(" 0% packet loss") != std::string::npos;
    if (!all) fmt::print(stderr, "{}{}", seen.output, seen.error_output);
    return all;
  }
  bool both_ping() {
    return pings(ours_, theirs_.inner_v4) && pings(ours_, theirs_.inner_v6) &&
           pings(theirs_, ours_.inner_v4) && pings(theirs_, ours_.inner_v6);
  }
  bool both_stream(std::size_t bytes) {
    return streams(ours_.netns, theirs_.netns, theirs_.inner_v4, bytes) &&
           streams(theirs_.netns, ours_.netns, ours_.inner_v6, bytes);
  }
  TunnelState state() {
    auto state = parse_get(ask(ours_.socket(), "get=1\n\n"));
    EXPECT_TRUE(state);
    return state.value_or(TunnelState{});
  }
  static std::string show(const Side& side, const std::string& what) {
    auto text = shell("", "wg show " + side.interface + " " + what + " | cut -f2-").output;
    while (text.ends_with('\n')) text.pop_back();
    return text;
  }
  void expect_nothing_forged() {
    const auto now = state();
    for (const char* reason : {"forged", "malformed", "forged_handshake", "bad_mac1", "source",
                               "bad_packet", "odd_packet", "refused_write"})
      EXPECT_EQ(now.drop(reason), 0u) << reason;
  }
  std::string rekey_request() const {
    return "set=1\npublic_key=" + hex_encode(theirs_.key.public_key) + "\nicon_rekey=true\n\n";
  }

  std::string directory_;
  std::string mid_;
  Side ours_;
  Side theirs_;
};

// Who begins, over which family, with a preshared key or without.
struct Way {
  bool we_begin;
  bool v4;
  bool preshared;
};
class InteropWays : public InteropTest, public ::testing::WithParamInterface<Way> {};
INSTANTIATE_TEST_SUITE_P(All, InteropWays,
                         ::testing::Values(Way{true, true, false}, Way{false, true, true},
                                           Way{true, false, true}, Way{false, false, false}),
                         [](const auto& info) {
                           return std::string(info.param.we_begin ? "WeBegin" : "TheyBegin") +
                                  (info.param.v4 ? "OverV4" : "OverV6") +
                                  (info.param.preshared ? "Psk" : "");
                         });

TEST_P(InteropWays, PingsAndStreamsAndWgShow) {
  const Way way = GetParam();
  std::string more;
  if (way.preshared) {
    must("", "umask 077; wg genpsk > " + directory_ + "/psk");
    more = " preshared-key " + directory_ + "/psk";
  }
  set_peer(ours_, theirs_, way.we_begin ? theirs_.endpoint(way.v4) : "", more);
  set_peer(theirs_, ours_, way.we_begin ? "" : ours_.endpoint(way.v4), more);
  // The first packet of the side that knows where the other is.
  ASSERT_TRUE(way.we_begin ? pings(ours_, theirs_.inner_v6) : pings(theirs_, ours_.inner_v6));
  EXPECT_TRUE(both_ping());
  EXPECT_TRUE(both_stream(20'000'000));
  expect_nothing_forged();
  EXPECT_EQ(show(ours_, "endpoints"), theirs_.endpoint(way.v4));
  EXPECT_EQ(show(ours_, "listen-port"), std::to_string(kPort));
  EXPECT_EQ(show(ours_, "public-key"), ours_.public_key());
  EXPECT_EQ(show(ours_, "allowed-ips"), "10.10.0.2/32 fd10::2/128");
  EXPECT_EQ(show(ours_, "preshared-keys") == "(none)", !way.preshared);
  EXPECT_TRUE(
      shell("", "test $(($(date +%s) - " + show(ours_, "latest-handshakes") + ")) -le 15").ok());
  const auto peer = state().peers.at(0);
  EXPECT_GT(peer.rx_bytes, 20'000'000u);
  EXPECT_GT(peer.tx_bytes, 20'000'000u);
  EXPECT_LT(peer.rx_bytes, 30'000'000u);
  // Both count the same wire.
  const auto theirs = parse_get(ask(theirs_.socket(), "get=1\n\n"));
  ASSERT_TRUE(theirs);
  EXPECT_NEAR(static_cast<double>(theirs->peers.at(0).tx_bytes), static_cast<double>(peer.rx_bytes),
              10'000);
}

TEST_F(InteropTest, NewKeysUnderAStream) {
  connect();
  ASSERT_TRUE(both_ping());
  std::set<UtcMillis> handshakes;
  const auto rekey_often = [&] {
    for (int i = 0; i < 8; ++i) {
      EXPECT_EQ(ask(ours_.socket(), rekey_request()), "errno=0\n\n");
      // wireguard-go answers at most 20 initiations a second.
      std::this_thread::sleep_for(Millis(100));
      handshakes.insert(state().peers.at(0).last_handshake_ms);
    }
  };
  EXPECT_TRUE(streams(ours_.netns, theirs_.netns, theirs_.inner_v4, 150'000'000, rekey_often));
  EXPECT_TRUE(streams(theirs_.netns, ours_.netns, ours_.inner_v4, 150'000'000, rekey_often));
  EXPECT_GE(handshakes.size(), 10u);
  expect_nothing_forged();
  // And theirs: they have forgotten us and begin anew, while we still have keys.
  must("", "wg set " + theirs_.interface + " peer " + ours_.public_key() + " remove");
  set_peer(theirs_, ours_, ours_.endpoint(true));
  EXPECT_TRUE(pings(theirs_, ours_.inner_v4));
  EXPECT_TRUE(both_ping());
}

TEST_F(InteropTest, BothSidesMayMove) {
  connect();
  ASSERT_TRUE(both_ping());
  // Our address, then our port.
  must(ours_.netns,
       "ip addr add 10.9.1.77/24 dev out; ip addr del 10.9.1.1/24 dev out; "
       "ip addr add 10.9.1.77/24 dev out 2>/dev/null; ip route replace default via "
       "10.9.1.254");
  EXPECT_TRUE(pings(ours_, theirs_.inner_v4));
  EXPECT_EQ(show(theirs_, "endpoints"), "10.9.1.77:" + std::to_string(kPort));
  EXPECT_TRUE(pings(theirs_, ours_.inner_v4));
  must("", "wg set " + ours_.interface + " listen-port 40001");
  EXPECT_TRUE(pings(ours_, theirs_.inner_v4));
  EXPECT_EQ(show(theirs_, "endpoints"), "10.9.1.77:40001");
  must("", "wg set " + ours_.interface + " listen-port " + std::to_string(kPort));
  must("", "wg set " + ours_.interface + " listen-port 40001");
  // Theirs: first the port, then the family.
  must("", "wg set " + theirs_.interface + " listen-port 40002");
  EXPECT_TRUE(pings(theirs_, ours_.inner_v4));
  EXPECT_EQ(show(ours_, "endpoints"), "10.9.2.1:40002");
  must("", "wg set " + theirs_.interface + " peer " + ours_.public_key() +
               " endpoint [fd09:1::1]:40001");
  EXPECT_TRUE(pings(theirs_, ours_.inner_v4));
  EXPECT_EQ(show(ours_, "endpoints"), "[fd09:2::1]:40002");
  EXPECT_TRUE(both_ping());
  expect_nothing_forged();
}

TEST_F(InteropTest, ABadWire) {
  const Endpoint left = *Endpoint::parse(ours_.endpoint(true));
  const Endpoint right = *Endpoint::parse(theirs_.endpoint(true));
  const test::Relay relay(mid_, left, right, kRelayPort,
                          {.lost = 0.01, .repeated = 0.02, .late = 0.02});
  set_peer(ours_, theirs_, "10.9.1.254:" + std::to_string(kRelayPort));
  set_peer(theirs_, ours_, "10.9.2.254:" + std::to_string(kRelayPort));
  ASSERT_TRUE(shell(ours_.netns, "ping -c5 -i0.05 -W2 " + theirs_.inner_v4).ok());
  EXPECT_TRUE(both_stream(10'000'000));
  EXPECT_GT(relay.lost(), 100u);
  EXPECT_GT(relay.repeated(), 200u);
  const auto replayed = state().drop("replayed");
  EXPECT_GT(replayed, 50u);
  EXPECT_LE(replayed, relay.repeated());
  expect_nothing_forged();
}

TEST_F(InteropTest, EveryDatagramTwiceIsEveryPacketOnce) {
  const Endpoint left = *Endpoint::parse(ours_.endpoint(true));
  const Endpoint right = *Endpoint::parse(theirs_.endpoint(true));
  const test::Relay relay(mid_, left, right, kRelayPort, {.repeated = 1});
  set_peer(ours_, theirs_, "10.9.1.254:" + std::to_string(kRelayPort));
  set_peer(theirs_, ours_, "10.9.2.254:" + std::to_string(kRelayPort));
  for (const auto* side : {&ours_, &theirs_}) {
    const auto seen =
        shell(side->netns, "ping -c10 -i0.02 -W2 " + (side == &ours_ ? theirs_ : ours_).inner_v4);
    EXPECT_TRUE(seen.ok());
    EXPECT_EQ(seen.output.find("DUP"), std::string::npos);
  }
  EXPECT_TRUE(eventually([&] { return state().drop("replayed") >= 20; }));
}

TEST_F(InteropTest, ANarrowPathFragmentsOutsideOnly) {
  must(ours_.netns, "ip link set out mtu 1300");
  must(theirs_.netns, "ip link set out mtu 1300");
  must(mid_, "ip link set to1 mtu 1300; ip link set to2 mtu 1300");
  connect();
  ASSERT_TRUE(both_ping());
  EXPECT_TRUE(both_stream(5'000'000));
  EXPECT_TRUE(shell(ours_.netns, "ping -M do -s 1392 -c2 -i0.05 -W2 " + theirs_.inner_v4).ok())
      << "the inner MTU stays 1420";
  expect_nothing_forged();
}

}  // namespace
}  // namespace icon::tunnel
