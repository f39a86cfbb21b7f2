// The kernel's WireGuard spoken to, byte by byte; and this kernel asked whether it has it.
#include "supervisor/net/tunnel_kernel.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/stat.h>

#include <thread>

#include "base/encoding.h"
#include "supervisor/net/tunnel_kernel_messages.h"

namespace icon::net {
namespace {

constexpr std::uint16_t kFamily = 0x1d;

std::string repeated(const char* two, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += two;
  return text;
}

TEST(TunnelKernelTest, ALinkOfTheKindIsMadeAndDeleted) {
  EXPECT_EQ(hex_encode(new_wireguard_link("wg0")),
            // length, RTM_NEWLINK, REQUEST|ACK|EXCL|CREATE, sequence, port
            "3c000000"
            "1000"
            "0506"
            "00000000"
            "00000000"
            // ifinfomsg
            "00000000000000000000000000000000"
            // IFLA_IFNAME, IFLA_LINKINFO { IFLA_INFO_KIND }
            "08000300"
            "77673000"
            "14001280"
            "0d000100"
            "776972656775617264000000");
  EXPECT_EQ(hex_encode(delete_link("wg0")),
            "28000000"
            "1100"
            "0500"
            "00000000"
            "00000000"
            "00000000000000000000000000000000"
            "08000300"
            "77673000");
}

TEST(TunnelKernelTest, TheFamilyIsAskedForAndRead) {
  EXPECT_EQ(hex_encode(ask_wireguard_family()),
            // GENL_ID_CTRL; CTRL_CMD_GETFAMILY, version 1; CTRL_ATTR_FAMILY_NAME
            "24000000"
            "1000"
            "0500"
            "00000000"
            "00000000"
            "03010000"
            "0e000200"
            "776972656775617264000000");
  const auto answer = *hex_decode(
      "24000000"
      "1000"
      "0000"
      "00000000"
      "00000000"
      "01020000"
      "08000100"
      "1d000000"  // padding after two bytes is not part of the attribute
      "08000300"
      "01000000",
      4096);
  EXPECT_FALSE(read_family(answer)) << "an id of four bytes is none";
  auto right = answer;
  right[20] = 6;
  ASSERT_TRUE(read_family(right));
  EXPECT_EQ(*read_family(right), kFamily);
  for (std::size_t bytes = 0; bytes < right.size(); ++bytes)
    EXPECT_FALSE(read_family(std::span(right).first(bytes)));
}

TEST(TunnelKernelTest, SettingsAreBytesOfThisForm) {
  tunnel::Settings settings;
  settings.private_key = tunnel::wg::Secret(*tunnel::key_from_hex(repeated("a1", 32)));
  settings.listen_port = 51820;
  settings.fwmark = 7;
  settings.replace_peers = true;
  tunnel::PeerSettings& peer = settings.peers.emplace_back();
  peer.public_key = *tunnel::key_from_hex(repeated("b2", 32));
  peer.preshared_key = tunnel::wg::Secret(*tunnel::key_from_hex(repeated("c3", 32)));
  peer.endpoint = *Endpoint::parse("192.0.2.1:51821");
  peer.persistent_keepalive_s = 25;
  peer.replace_allowed_ips = true;
  peer.allowed_ips = {{*Prefix::parse("10.0.0.0/8"), false}, {*Prefix::parse("fd00::/8"), false}};
  const auto message = set_wireguard(kFamily, "wg0", settings);
  ASSERT_TRUE(message);
  EXPECT_EQ(hex_encode(*message),
            "14010000"
            "1d00"
            "0500"
            "00000000"
            "00000000"
            // WG_CMD_SET_DEVICE, version 1
            "01010000"
            "08000200"
            "77673000"  // IFNAME
            "24000300" +
                repeated("a1", 32) +  // PRIVATE_KEY
                "06000600"
                "6cca0000"  // LISTEN_PORT
                "08000700"
                "07000000"  // FWMARK
                "08000500"
                "01000000"  // FLAGS: REPLACE_PEERS
                "bc000880"  // PEERS {
                "b8000080"  //   {
                "24000100" +
                repeated("b2", 32) +  //     PUBLIC_KEY
                "08000300"
                "02000000"  //     FLAGS: REPLACE_ALLOWEDIPS
                "24000200" +
                repeated("c3", 32) +  //     PRESHARED_KEY
                "14000400"
                "0200ca6dc00002010000000000000000"  // ENDPOINT
                "06000500"
                "19000000"  //     PERSISTENT_KEEPALIVE_INTERVAL
                "48000980"  //     ALLOWEDIPS {
                "1c000080"
                "06000100"
                "02000000"
                "08000200"
                "0a000000"
                "05000300"
                "08000000"
                "28000080"
                "06000100"
                "0a000000"
                "14000200"
                "fd000000000000000000000000000000"
                "05000300"
                "08000000");
}

TEST(TunnelKernelTest, RemovingAndUpdatingAreFlags) {
  tunnel::Settings settings;
  settings.peers.resize(1);
  settings.peers[0].remove = true;
  settings.peers[0].update_only = true;
  const auto message = set_wireguard(kFamily, "wg0", settings);
  ASSERT_TRUE(message);
  EXPECT_NE(hex_encode(*message).find("0800030005000000"), std::string::npos);
}

TEST(TunnelKernelTest, MoreThanAMessageHoldsIsAnError) {
  tunnel::Settings settings;
  settings.peers.resize(1);
  settings.peers[0].allowed_ips.resize(5'000);
  const auto message = set_wireguard(kFamily, "wg0", settings);
  ASSERT_FALSE(message);
  EXPECT_EQ(message.error().code, Code::kLimit);
}

TEST(TunnelKernelTest, TheStateIsAsked) {
  EXPECT_EQ(hex_encode(get_wireguard(kFamily, "wg0")),
            "1c000000"
            "1d00"
            "0503"
            "00000000"
            "00000000"
            "00010000"
            "08000200"
            "77673000");
}

// What the kernel answers, in two messages: the second goes on with the first's peer.
class ReadTest : public ::testing::Test {
 protected:
  static std::vector<std::uint8_t> bytes(const std::string& hex) { return *hex_decode(hex, 4096); }
  const std::string key_ = repeated("b2", 32);
  const std::string peer_ = "24000100" + key_ + "24000200" + repeated("00", 32) +
                            "14000600"
                            "65f1a000"
                            "00000000"
                            "15cd5b07"
                            "00000000"
                            "06000500"
                            "19000000"
                            "0c000800"
                            "d204000000000000"
                            "0c000700"
                            "2e16000000000000"
                            "20000400"
                            "0a00ca6d0000000020010db800000000000000000000000100000000"
                            "20000980"
                            "1c000080"
                            "06000100"
                            "02000000"
                            "08000200"
                            "0a000000"
                            "05000300"
                            "08000000";
};

TEST_F(ReadTest, TheStateIsRead) {
  // The peer: 36 + 36 + 20 + 8 + 12 + 12 + 32 + 32 bytes, and its header.
  const auto first = bytes(
      "14010000"
      "1d00"
      "0200"
      "00000000"
      "00000000"
      "00010000"
      "06000600"
      "6cca0000"
      "08000700"
      "07000000"
      "24000300" +
      repeated("a1", 32) +
      "c4000880"
      "c0000080" +
      peer_ +
      "08000100"
      "05000000");
  ASSERT_EQ(first.size(), 0x114u);
  tunnel::TunnelState state;
  const auto read = read_wireguard(first, state);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(state.listen_port, 51820);
  EXPECT_EQ(state.fwmark, 7u);
  EXPECT_EQ(hex_encode(state.private_key.bytes()), repeated("a1", 32));
  ASSERT_EQ(state.peers.size(), 1u);
  EXPECT_EQ(hex_encode(state.peers[0].public_key), key_);
  EXPECT_EQ(state.peers[0].endpoint->to_string(), "[2001:db8::1]:51821");
  EXPECT_EQ(state.peers[0].last_handshake_ms, 0xa0f165LL * 1000 + 123);
  EXPECT_EQ(state.peers[0].persistent_keepalive_s, 25);
  EXPECT_EQ(state.peers[0].tx_bytes, 1234u);
  EXPECT_EQ(state.peers[0].rx_bytes, 5678u);
  ASSERT_EQ(state.peers[0].allowed_ips.size(), 1u);
  EXPECT_EQ(state.peers[0].allowed_ips[0].to_string(), "10.0.0.0/8");

  const auto second = bytes(
      "60000000"
      "1d00"
      "0200"
      "00000000"
      "00000000"
      "00010000"
      "4c000880"
      "48000080"
      "24000100" +
      key_ +
      "20000980"
      "1c000080"
      "06000100"
      "02000000"
      "08000200"
      "0b000000"
      "05000300"
      "08000000");
  ASSERT_TRUE(read_wireguard(second, state));
  ASSERT_EQ(state.peers.size(), 1u);
  EXPECT_EQ(state.peers[0].allowed_ips.at(1).to_string(), "11.0.0.0/8");
  EXPECT_EQ(state.peers[0].rx_bytes, 5678u);
}

TEST_F(ReadTest, NothingIsReadBeyondItsEnd) {
  const auto whole = bytes(
      "e0000000"
      "1d00"
      "0200"
      "00000000"
      "00000000"
      "00010000"
      "c4000880"
      "c0000080" +
      peer_ +
      "08000100"
      "05000000");
  tunnel::TunnelState state;
  ASSERT_TRUE(read_wireguard(whole, state));
  for (std::size_t i = 0; i < whole.size(); ++i) {
    const std::vector<std::uint8_t> part(whole.begin(),
                                         whole.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_FALSE(read_wireguard(part, state));
    for (const std::uint8_t value : {0x00, 0x03, 0x7f, 0xff}) {
      auto changed = whole;
      changed[i] = value;
      (void)read_wireguard(changed, state);  // under ASan
    }
  }
}

// On its own network namespace, as an ordinary user of one.
TEST(TunnelKernelTest, AsksThisKernel) {
  std::thread([] {
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0 && unshare(CLONE_NEWNET) != 0)
      GTEST_SKIP() << "this user may make no network namespace";
    const auto has = kernel_has_wireguard();
    ASSERT_TRUE(has) << has.error().message;
    struct stat module {};
    const bool loaded = stat("/sys/module/wireguard", &module) == 0;
    EXPECT_EQ(*has, loaded);
  }).join();
}

}  // namespace
}  // namespace icon::net
