#include "supervisor/tunnel/uapi.h"

#include <gtest/gtest.h>

#include "base/encoding.h"

namespace icon::tunnel {
namespace {

const std::string kKeyA(64, 'a');
const std::string kKeyB(64, 'b');

TEST(UapiTest, ReadsWhatWgWrites) {
  const auto settings = parse_set("set=1\nprivate_key=" + kKeyA +
                                  "\nlisten_port=51820\nfwmark=0x1f\nreplace_peers=true\n"
                                  "public_key=" +
                                  kKeyB + "\npreshared_key=" + kKeyA +
                                  "\nendpoint=192.0.2.1:51820\npersistent_keepalive_interval=25\n"
                                  "replace_allowed_ips=true\nallowed_ip=10.0.0.0/8\n"
                                  "allowed_ip=-fd00::/8\nprotocol_version=1\npublic_key=" +
                                  kKeyA + "\nupdate_only=true\nremove=true");
  ASSERT_TRUE(settings) << settings.error().message;
  EXPECT_EQ(hex_encode(settings->private_key->bytes()), kKeyA);
  EXPECT_EQ(settings->listen_port, 51820);
  EXPECT_EQ(settings->fwmark, 31u);
  EXPECT_TRUE(settings->replace_peers);
  ASSERT_EQ(settings->peers.size(), 2u);
  const auto& peer = settings->peers[0];
  EXPECT_EQ(hex_encode(peer.public_key), kKeyB);
  EXPECT_FALSE(peer.preshared_key->is_zero());
  EXPECT_EQ(peer.endpoint->to_string(), "192.0.2.1:51820");
  EXPECT_EQ(peer.persistent_keepalive_s, 25);
  EXPECT_TRUE(peer.replace_allowed_ips);
  ASSERT_EQ(peer.allowed_ips.size(), 2u);
  EXPECT_FALSE(peer.allowed_ips[0].remove);
  EXPECT_TRUE(peer.allowed_ips[1].remove);
  EXPECT_EQ(peer.allowed_ips[1].prefix.to_string(), "fd00::/8");
  EXPECT_TRUE(settings->peers[1].update_only);
  EXPECT_TRUE(settings->peers[1].remove);
}

TEST(UapiTest, OurOwnKeys) {
  const auto settings = parse_set("set=1\npublic_key=" + kKeyA +
                                  "\nicon_rate_bits=1000000\nicon_rate_packets=0\nicon_rekey=true");
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->peers[0].rate_bits, 1'000'000u);
  EXPECT_EQ(settings->peers[0].rate_packets, 0u);
  EXPECT_TRUE(settings->peers[0].rekey);
}

TEST(UapiTest, RefusesWhatItDoesNotUnderstand) {
  for (const std::string bad :
       {"", "set=2", "get=1", "hello", "set=1\nlisten_port=65536", "set=1\nlisten_port=-1",
        "set=1\nlisten_port=", "set=1\nlisten_port=1 ", "set=1\nprivate_key=abc",
        "set=1\nendpoint=1.2.3.4:5", "set=1\nfwmark=99999999999", "set=1\nnonsense=1",
        "set=1\nreplace_peers=false", "set=1\n=", "set=1\n\nlisten_port=1"})
    EXPECT_FALSE(parse_set(bad)) << bad;
  const std::string peer = "set=1\npublic_key=" + kKeyA + "\n";
  for (const std::string bad :
       {"endpoint=host:1", "endpoint=1.2.3.4:0", "endpoint=1.2.3.4", "allowed_ip=10.0.0.0/33",
        "allowed_ip=", "allowed_ip=--10.0.0.0/8", "persistent_keepalive_interval=65536",
        "persistent_keepalive_interval=-1", "remove=1", "protocol_version=2", "preshared_key=zz",
        "icon_rate_bits=-5", "listen_port=1"})
    EXPECT_FALSE(parse_set(peer + bad)) << bad;
  const auto bad = parse_set("set=1\nprivate_key=" + std::string(64, 'x'));
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().message.find("xxx"), std::string::npos) << "a key is never repeated";
  const auto long_request = parse_set("set=1\n" + std::string(kUapiBytesMax, 'x'));
  ASSERT_FALSE(long_request);
  EXPECT_EQ(long_request.error().code, Code::kLimit);
}

TEST(UapiTest, TheStateSurvivesPrintingAndReading) {
  TunnelState state;
  state.private_key = wg::Secret(*key_from_hex(kKeyA));
  state.listen_port = 4242;
  state.fwmark = 7;
  state.aead = "openssl";
  state.drops = {{"forged", 3}, {"replayed", 0}};
  TunnelPeer peer;
  peer.public_key = *key_from_hex(kKeyB);
  peer.endpoint = *Endpoint::parse("[2001:db8::1]:51820");
  peer.last_handshake_ms = 1'700'000'000'123;
  peer.rx_bytes = 10;
  peer.tx_bytes = 20;
  peer.persistent_keepalive_s = 25;
  peer.allowed_ips = {*Prefix::parse("10.0.0.0/8"), *Prefix::parse("::/0")};
  peer.limit = {1'000'000, 500};
  peer.limited = 9;
  state.peers = {peer, peer};
  state.peers[1].endpoint.reset();
  const std::string text = format_get(state);
  EXPECT_TRUE(text.ends_with("\nerrno=0\n\n"));
  const auto read = parse_get(text);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_TRUE(read->private_key.equals(state.private_key));
  EXPECT_EQ(read->listen_port, 4242);
  EXPECT_EQ(read->fwmark, 7u);
  EXPECT_EQ(read->aead, "openssl");
  EXPECT_EQ(read->drop("forged"), 3u);
  EXPECT_EQ(read->drop("replayed"), 0u);
  ASSERT_EQ(read->peers.size(), 2u);
  EXPECT_EQ(read->peers[0].endpoint, peer.endpoint);
  EXPECT_EQ(read->peers[0].last_handshake_ms, peer.last_handshake_ms);
  EXPECT_EQ(read->peers[0].allowed_ips, peer.allowed_ips);
  EXPECT_EQ(read->peers[0].limit, peer.limit);
  EXPECT_EQ(read->peers[0].limited, 9u);
  EXPECT_FALSE(read->peers[1].endpoint);
  EXPECT_EQ(format_get(*read), text);
}

TEST(UapiTest, AnotherImplementationMayTellMoreAndAnErrorIsOne) {
  EXPECT_TRUE(parse_get("listen_port=1\nnews=1\npublic_key=" + kKeyA + "\nnews=2\nerrno=0\n\n"));
  EXPECT_FALSE(parse_get("errno=22\n\n"));
  EXPECT_FALSE(parse_get("nonsense\nerrno=0\n\n"));
  EXPECT_FALSE(parse_get("listen_port=99999\nerrno=0\n\n"));
  EXPECT_FALSE(parse_get(std::string(kUapiBytesMax + 1, 'a')));
}

}  // namespace
}  // namespace icon::tunnel
