// An ICON on one host: addresses, translation in both directions, what the rules refuse.
#include "tests/netns/net_world.h"

namespace icon::net::test {
namespace {

class NetAttach : public World {};
ICON_BOTH_MODES(NetAttach);

TEST_P(NetAttach, UsersReachTheServiceAndItSeesThem) {
  start_service(*a_);
  auto tcp = connect_client(a_->at(8080));
  ASSERT_TRUE(tcp);
  EXPECT_TRUE(tcp->echoes("hello"));
  EXPECT_EQ(service_->peers(), std::vector<std::string>{"198.51.100.2"}) << "no SNAT on the way in";
  EXPECT_TRUE(udp_client(a_->at(8080))->echoes("datagram"));
  EXPECT_FALSE(connect_client(a_->at(80))) << "only published ports";
}

TEST_P(NetAttach, TheInsideIsAsTheDesignSays) {
  start_service(*a_);
  const std::string inside = service_netns_;
  const auto mac = wire::overlay_mac(*PublicKey::from_id(icon_.icon_id));
  char text[18];
  snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
           mac[4], mac[5]);
  const auto link = shell(inside, "ip -o link show eth0").output;
  EXPECT_NE(link.find(text), std::string::npos) << link;
  EXPECT_NE(link.find("mtu 1380"), std::string::npos) << link;
  EXPECT_NE(shell(inside, "ip -4 -o addr show eth0").output.find(icon_.overlay.to_string() + "/32"),
            std::string::npos);
  EXPECT_NE(shell(inside, "ip route").output.find("default via 169.254.1.1 dev eth0"),
            std::string::npos);
  EXPECT_NE(shell(inside, "ip neigh").output.find("02:1c:0e:fe:01:01 PERMANENT"),
            std::string::npos);
  EXPECT_EQ(shell(inside, "cat /proc/sys/net/ipv4/ping_group_range").output, "0\t2147483647\n");
  EXPECT_EQ(shell(inside, "ip -6 -o addr show dev eth0 | awk '{print $4}'").output,
            overlay6().to_string() + "/128\n");
  EXPECT_NE(shell(inside, "ip -6 route").output.find("default via fe80::1 dev eth0"),
            std::string::npos);
}

TEST_P(NetAttach, WhatTheIconOpensIsMasqueraded) {
  start_service(*a_);
  must(prefix() + "client",
       "nohup socat TCP-LISTEN:9000,fork SYSTEM:'echo $SOCAT_PEERADDR' "
       ">/dev/null 2>&1 & echo $! > " +
           a_->directory() + "/socat.pid");
  const auto asked = shell(
      service_netns_,
      "for i in 1 2 3 4 5 6 7 8 9 10; do r=$(socat -T2 - TCP:198.51.100.2:9000 "
      "2>/dev/null </dev/null) && [ -n \"$r\" ] && echo $r && exit 0; sleep 0.05; done; exit 1");
  shell("", "kill $(cat " + a_->directory() + "/socat.pid)");
  EXPECT_EQ(asked.output, "192.0.2.2\n") << asked.error_output;
  EXPECT_TRUE(shell(service_netns_, "ping -c1 -W2 198.51.100.2").ok());
}

TEST_P(NetAttach, ConnectionsFromTheHostItselfAreTranslatedToo) {
  start_service(*a_);
  EXPECT_TRUE(a_->thread().run([&] {
    Socket socket(SOCK_STREAM);
    return socket.connect_to(a_->at(8080)) && socket.echoes("local");
  }));
}

TEST_P(NetAttach, SpoofedAndForeignPacketsAreDropped) {
  start_service(*a_);
  must(service_netns_, "ip addr add 100.64.99.99/32 dev eth0");
  EXPECT_FALSE(shell(service_netns_, "ping -c1 -W1 -I 100.64.99.99 198.51.100.2").ok());
  EXPECT_GE(a_->refused("spoofed"), 1u);
  // A neighbour that knows the overlay address.
  must(prefix() + "router", "ip route add " + icon_.overlay.to_string() + "/32 via 192.0.2.2");
  EXPECT_FALSE(shell(prefix() + "client", "ping -c1 -W1 " + icon_.overlay.to_string()).ok());
  EXPECT_GE(a_->refused("foreign"), 1u);
}

TEST_P(NetAttach, TheSegmentSizeIsClampedFromTheFirstSyn) {
  start_service(*a_);
  auto tcp = connect_client(a_->at(8080));
  ASSERT_TRUE(tcp);
  int mss = 0;
  socklen_t bytes = sizeof mss;
  getsockopt(tcp->fd(), IPPROTO_TCP, 2 /* TCP_MAXSEG */, &mss, &bytes);
  EXPECT_LE(mss, kMtu - 40);
  EXPECT_TRUE(tcp->echoes(std::string(100'000, 'x')));
}

TEST_P(NetAttach, TwoIconsMayNotShareAPortOrAnAddress) {
  start_service(*a_);
  const KeyPair key = KeyPair::generate();
  IconNetwork other;
  other.icon_id = key.id();
  other.overlay = wire::overlay_address(key.public_key());
  other.ports = {{Protocol::kTcp, 80, 8080}};
  auto status = a_->call([&](Network& n) { return n.attach(other); });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kConflict);
  EXPECT_TRUE(connect_client(a_->at(8080))->echoes("undisturbed"));
  other.ports = {{Protocol::kTcp, 80, 8081}};
  other.overlay = icon_.overlay;
  status = a_->call([&](Network& n) { return n.attach(other); });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kConflict);
  EXPECT_EQ(shell("", "ls /run/netns").output.find(other.icon_id.substr(0, 8)), std::string::npos)
      << "a refused ICON leaves nothing";
}

TEST_P(NetAttach, NothingIsLeft) {
  start_service(*a_);
  open_tunnel(*a_, *b_);
  a_->ok([&](Network& n) { return n.hold(icon_.icon_id); }, "hold");
  a_->ok([&](Network& n) { return n.destroy(); }, "destroy");
  EXPECT_EQ(shell(a_->netns(), "ip -o link | grep -cE ' i[vht]'").output, "0\n");
  EXPECT_EQ(shell(a_->netns(), "nft list tables").output, "");
  EXPECT_EQ(shell(a_->netns(), "ip rule | grep -c 4943").output, "0\n");
  EXPECT_EQ(shell(a_->netns(), "ip route show table all proto 73").output, "");
  EXPECT_EQ(shell("", "ls /run/netns").output.find("icon-" + a_->id().substr(0, 8)),
            std::string::npos);
  EXPECT_EQ(shell("", "ls " + a_->directory()).output, "");
}

}  // namespace
}  // namespace icon::net::test
