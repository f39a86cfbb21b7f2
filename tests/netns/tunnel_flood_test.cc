// One peer floods, another must not notice: a process per peer, a limit on what each may send.
//
//   bad:  10.10.1.2 == UDP == 10.9.1.2 --- 10.9.1.1 hub: tf1 10.10.1.1
//   good: 10.10.2.2 == UDP == 10.9.2.2 --- 10.9.2.1 hub: tf2 10.10.2.1
#include <fcntl.h>
#include <signal.h>

#include <atomic>
#include <filesystem>
#include <memory>

#include "base/encoding.h"
#include "base/file.h"
#include "supervisor/net/netns_files.h"
#include "supervisor/tunnel/device_control.h"
#include "supervisor/tunnel/uapi.h"
#include "supervisor/tunnel/wg/noise.h"
#include "tunnel_support.h"

namespace icon::tunnel {
namespace {

using test::ask;
using test::InNetns;
using test::must;
using test::prefix;
using test::shell;

constexpr int kPort = 45'000;
constexpr std::uint64_t kLimitBits = 20'000'000;

struct End {
  std::string netns;
  std::string interface;
  std::string inner;
  std::string socket;
  wg::Identity key = wg::Identity::from_private(wg::Secret::random());
  std::unique_ptr<ChildProcess> process;
};

class FloodTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = "/run/" + prefix() + "dir";
    hub_ = prefix() + "hub";
    ASSERT_TRUE(make_directories(directory_, 0700));
    ASSERT_TRUE(net::ensure_netns(hub_));
    must(hub_, "ip link set lo up");
    for (int i = 0; i < 2; ++i) {
      const std::string n = std::to_string(i + 1);
      const std::string peer = prefix() + (i == 0 ? "bad" : "good");
      ASSERT_TRUE(net::ensure_netns(peer));
      must("", "ip link add out netns " + peer + " type veth peer name to" + n + " netns " + hub_);
      must(hub_, "ip addr add 10.9." + n + ".1/30 dev to" + n + "; ip link set to" + n + " up");
      must(peer, "ip link set lo up; ip addr add 10.9." + n + ".2/30 dev out; ip link set out up");
      make(at_hub_[i], hub_, "tf" + n, "10.10." + n + ".1", directory_ + "/hub" + n);
      make(at_peer_[i], peer, "tfp" + n, "10.10." + n + ".2", directory_ + "/peer" + n);
      tell(at_hub_[i], at_peer_[i], "10.9." + n + ".2");
      tell(at_peer_[i], at_hub_[i], "10.9." + n + ".1");
      ASSERT_TRUE(pings(at_peer_[i], at_hub_[i]));
    }
  }
  void TearDown() override {
    for (auto* end : {&at_hub_[0], &at_hub_[1], &at_peer_[0], &at_peer_[1]}) {
      if (end->process) {
        end->process->signal(SIGTERM);
        (void)end->process->wait(Millis(5'000));
      }
      EXPECT_TRUE(net::remove_netns(end->netns));
    }
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }
  void make(End& end, const std::string& netns, const std::string& interface,
            const std::string& inner, const std::string& socket) {
    end.netns = netns;
    end.interface = interface;
    end.inner = inner;
    end.socket = socket;
    ChildProcess::Options options;
    options.argv = {"nsenter",
                    "--net=/run/netns/" + netns,
                    std::string(ICON_BIN_DIR) + "/icon-tunnel",
                    "--interface",
                    interface,
                    "--socket",
                    socket,
                    "--log",
                    directory_ + "/log"};
    auto process = ChildProcess::start(std::move(options));
    ASSERT_TRUE(process) << process.error().message;
    end.process = std::make_unique<ChildProcess>(std::move(*process));
    must(netns, "until test -S " + socket + "; do sleep 0.01; done; ip addr add " + inner +
                    "/30 dev " + interface + "; ip link set " + interface + " mtu 1420 up");
    ASSERT_EQ(ask(socket, "set=1\nlisten_port=" + std::to_string(kPort + interface.back()) +
                              "\nprivate_key=" + hex_encode(end.key.private_key.bytes()) + "\n\n"),
              "errno=0\n\n");
  }
  static void tell(const End& end, const End& peer, const std::string& outer,
                   const std::string& more = "") {
    ASSERT_EQ(ask(end.socket, "set=1\npublic_key=" + hex_encode(peer.key.public_key) +
                                  "\nendpoint=" + outer + ":" +
                                  std::to_string(kPort + peer.interface.back()) +
                                  "\nallowed_ip=0.0.0.0/0\n" + more + "\n"),
              "errno=0\n\n");
  }
  static bool pings(const End& from, const End& to) {
    return shell(from.netns, "ping -c3 -i0.05 -W2 " + to.inner).ok();
  }
  static TunnelPeer peer_of(const End& end) {
    const auto state = parse_get(ask(end.socket, "get=1\n\n"));
    return state ? state->peers.at(0) : TunnelPeer{};
  }
  // Datagrams from `netns` to an address, as fast as they go, until the work is done.
  template <class Work>
  static void under_flood(const std::string& netns, const std::string& address, int port,
                          const Work& work) {
    std::atomic<bool> stop = false;
    std::atomic<std::uint64_t> sent = 0;
    {
      const InNetns flood(netns, [&] {
        UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        sockaddr_storage target{};
        const socklen_t length =
            Address::parse(address)->to_sockaddr(static_cast<std::uint16_t>(port), target);
        const std::vector<std::uint8_t> bytes(1392, 0x55);
        while (!stop) {
          (void)!sendto(fd.get(), bytes.data(), bytes.size(), 0,
                        reinterpret_cast<sockaddr*>(&target), length);
          ++sent;
        }
      });
      work();
      stop = true;
    }
    EXPECT_GT(sent, 10'000u);
  }

  std::string directory_;
  std::string hub_;
  End at_hub_[2];
  End at_peer_[2];
};

TEST_F(FloodTest, AFloodThroughATunnelIsCutBeforeItIsDecrypted) {
  tell(at_hub_[0], at_peer_[0], "10.9.1.2", "icon_rate_bits=" + std::to_string(kLimitBits) + "\n");
  const auto before = peer_of(at_hub_[0]);
  EXPECT_EQ(before.limit.bits_per_second, kLimitBits);
  const auto begun = std::chrono::steady_clock::now();
  under_flood(at_peer_[0].netns, at_hub_[0].inner, 9, [&] {
    EXPECT_TRUE(pings(at_peer_[1], at_hub_[1]));
    EXPECT_TRUE(test::streams(at_peer_[1].netns, hub_, at_hub_[1].inner, 50'000'000));
    EXPECT_TRUE(test::streams(hub_, at_peer_[1].netns, at_peer_[1].inner, 50'000'000));
  });
  const auto after = peer_of(at_hub_[0]);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  EXPECT_GT(after.limited, 1'000u);
  const double bits = static_cast<double>(after.rx_bytes - before.rx_bytes) * 8;
  EXPECT_LT(bits, kLimitBits * (seconds + 0.5) + 2e6);
  EXPECT_GT(bits, kLimitBits * seconds * 0.2) << "what is within the limit passes";
  EXPECT_EQ(peer_of(at_hub_[1]).limited, 0u);
  // Lifted again.
  tell(at_hub_[0], at_peer_[0], "10.9.1.2", "icon_rate_bits=0\n");
  EXPECT_TRUE(test::streams(at_peer_[0].netns, hub_, at_hub_[0].inner, 10'000'000));
}

TEST_F(FloodTest, RubbishForOneTunnelIsNothingToTheOther) {
  const int port = kPort + at_hub_[0].interface.back();
  under_flood(at_peer_[0].netns, "10.9.1.1", port, [&] {
    EXPECT_TRUE(pings(at_peer_[1], at_hub_[1]));
    EXPECT_TRUE(test::streams(at_peer_[1].netns, hub_, at_hub_[1].inner, 50'000'000));
  });
  const auto state = parse_get(ask(at_hub_[0].socket, "get=1\n\n"));
  ASSERT_TRUE(state);
  EXPECT_GT(state->drop("malformed"), 1'000u);
  EXPECT_TRUE(pings(at_peer_[0], at_hub_[0])) << "and the flooded one still works";
}

}  // namespace
}  // namespace icon::tunnel
