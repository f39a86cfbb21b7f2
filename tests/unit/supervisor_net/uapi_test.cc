#include "supervisor/tunnel/uapi.h"

#include <gtest/gtest.h>

namespace icon::tunnel {
namespace {

const std::string kKeyText = std::string(62, '0') + "2a";

TEST(Uapi, ReadsASetRequest) {
  const auto settings =
      parse_set("set=1\nprivate_key=" + kKeyText +
                "\nlisten_port=51820\nreplace_peers=true\npublic_key=" + kKeyText +
                "\nendpoint=192.0.2.1:7\npersistent_keepalive_interval=10\n"
                "replace_allowed_ips=true\nallowed_ip=0.0.0.0/0\n");
  ASSERT_TRUE(settings) << settings.error().message;
  EXPECT_EQ((*settings->private_key)[31], 0x2a);
  EXPECT_EQ(settings->listen_port, 51820);
  EXPECT_TRUE(settings->replace_peers);
  ASSERT_TRUE(settings->peer);
  EXPECT_EQ(settings->peer->endpoint->to_string(), "192.0.2.1:7");
  EXPECT_EQ(settings->peer->persistent_keepalive_s, 10);
  ASSERT_EQ(settings->peer->allowed.size(), 1u);
}

TEST(Uapi, RefusesWhatItDoesNotUnderstand) {
  EXPECT_FALSE(parse_set(""));
  EXPECT_FALSE(parse_set("get=1"));
  EXPECT_FALSE(parse_set("set=1\nprivate_key=12"));
  EXPECT_FALSE(parse_set("set=1\nlisten_port=65536"));
  EXPECT_FALSE(parse_set("set=1\nlisten_port=-1"));
  EXPECT_FALSE(parse_set("set=1\nno equals sign"));
  EXPECT_FALSE(parse_set("set=1\nunknown=1"));
  EXPECT_FALSE(parse_set("set=1\nendpoint=192.0.2.1:7")) << "an endpoint without a peer";
  const std::string peer = "set=1\npublic_key=" + kKeyText + "\n";
  EXPECT_TRUE(parse_set(peer));
  EXPECT_FALSE(parse_set(peer + "endpoint=nonsense"));
  EXPECT_FALSE(parse_set(peer + "allowed_ip=10.0.0.0/99"));
  EXPECT_FALSE(parse_set(peer + "preshared_key=" + kKeyText)) << "would be silently weaker";
  EXPECT_FALSE(parse_set(peer + "public_key=" + std::string(63, '0') + "1")) << "a second peer";
  std::string many = peer;
  for (int i = 0; i < 100; ++i) many += "allowed_ip=10.0.0." + std::to_string(i) + "\n";
  EXPECT_FALSE(parse_set(many));
}

TEST(Uapi, ErrorsNeverShowTheKey) {
  const auto settings = parse_set("set=1\nprivate_key=" + kKeyText.substr(1));
  ASSERT_FALSE(settings);
  EXPECT_EQ(settings.error().message.find("2a"), std::string::npos);
}

TEST(Uapi, StateSurvivesPrintingAndReading) {
  DeviceState state;
  state.private_key[0] = 7;
  state.listen_port = 4242;
  state.has_peer = true;
  state.peer_key[5] = 9;
  state.endpoint = *Endpoint::parse("192.0.2.9:4000");
  state.persistent_keepalive_s = 10;
  state.allowed = {*Prefix::parse("0.0.0.0/0")};
  state.last_handshake_ms = 1'700'000'000'123;
  state.counters.rx_bytes = 11;
  state.counters.replayed = 3;
  const auto read = parse_get(format_get(state));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->private_key, state.private_key);
  EXPECT_EQ(read->listen_port, 4242);
  EXPECT_EQ(read->peer_key, state.peer_key);
  EXPECT_EQ(read->endpoint, state.endpoint);
  EXPECT_EQ(read->last_handshake_ms, state.last_handshake_ms);
  EXPECT_EQ(read->counters.rx_bytes, 11u);
  EXPECT_EQ(read->counters.replayed, 3u);
  EXPECT_FALSE(parse_get("errno=22\n\n"));
}

}  // namespace
}  // namespace icon::tunnel
