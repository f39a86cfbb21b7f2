// The socket, on loopback.
#include "supervisor/tunnel/udp.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>

#include <algorithm>

#include "packets.h"

namespace icon::tunnel {
namespace {

struct Pair {
  std::unique_ptr<UdpSocket> from = *UdpSocket::create(0);
  std::unique_ptr<UdpSocket> to = *UdpSocket::create(0);
  Pair() {
    EXPECT_TRUE(from->bind(0));
    EXPECT_TRUE(to->bind(0));
  }
};

struct Got {
  std::vector<test::Packet> datagrams;
  std::size_t reads = 0;
  Endpoint from;
  std::uint8_t ecn = 0;
};

Got receive(const UdpSocket& socket, std::size_t bytes) {
  Got got;
  UdpReceiver receiver;
  for (std::size_t seen = 0; seen < bytes;) {
    pollfd wait{socket.fd(), POLLIN, 0};
    if (poll(&wait, 1, 2'000) <= 0) return got;
    ++got.reads;
    for (const auto& train : receiver.receive(socket)) {
      got.from = train.from;
      got.ecn = train.ecn;
      for (std::size_t at = 0; at < train.bytes.size(); at += train.segment) {
        const auto part = train.bytes.subspan(at, std::min(train.segment, train.bytes.size() - at));
        got.datagrams.emplace_back(part.begin(), part.end());
        seen += part.size();
      }
    }
  }
  return got;
}

class UdpTest : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Families, UdpTest, ::testing::Values("127.0.0.1", "::1"),
                         [](const auto& info) { return info.index == 0 ? "v4" : "v6"; });

TEST_P(UdpTest, ABatchGoesOutAndComesInWhole) {
  Pair pair;
  const Endpoint to{*Address::parse(GetParam()), pair.to->port()};
  if (!to.address.is_v4() && !pair.from->is_v6()) GTEST_SKIP() << "this host has no IPv6";
  const test::Packet bytes = test::payload_of(30 * 1452 + 99);
  pair.from->send({bytes.data(), bytes.size(), 1452, to, 2});
  const Got got = receive(*pair.to, bytes.size());
  ASSERT_EQ(got.datagrams.size(), 31u);
  EXPECT_EQ(got.datagrams.back().size(), 99u);
  test::Packet joined;
  for (const auto& datagram : got.datagrams)
    joined.insert(joined.end(), datagram.begin(), datagram.end());
  EXPECT_EQ(joined, bytes);
  EXPECT_EQ(got.from, (Endpoint{to.address, pair.from->port()}));
  EXPECT_EQ(got.ecn, 2);
  EXPECT_EQ(got.reads, 1u) << "loopback keeps it together";
}

TEST_P(UdpTest, MoreThanOneCallCarriesIsSplit) {
  Pair pair;
  const Endpoint to{*Address::parse(GetParam()), pair.to->port()};
  if (!to.address.is_v4() && !pair.from->is_v6()) GTEST_SKIP() << "this host has no IPv6";
  const test::Packet bytes = test::payload_of(200 * 1000);
  pair.from->send({bytes.data(), bytes.size(), 1000, to, 0});
  EXPECT_EQ(receive(*pair.to, bytes.size()).datagrams.size(), 200u);
}

TEST(UdpBatchTest, LongerThanThePathIsSentOneByOne) {
  // The kernel refuses to cut a batch into what must be fragmented.
  Pair pair;
  const Endpoint to{*Address::parse("127.0.0.1"), pair.to->port()};
  const int mtu_probe = IP_PMTUDISC_DONT;
  setsockopt(pair.from->fd(), IPPROTO_IP, IP_MTU_DISCOVER, &mtu_probe, sizeof mtu_probe);
  const test::Packet bytes = test::payload_of(3 * 20'000);
  pair.from->send({bytes.data(), bytes.size(), 20'000, to, 0});
  EXPECT_EQ(receive(*pair.to, bytes.size()).datagrams.size(), 3u);
}

TEST(UdpBatchTest, AnEmptyDatagramIsSeenAndAPortIsTakenOnce) {
  Pair pair;
  const auto other = *UdpSocket::create(0);
  EXPECT_FALSE(other->bind(pair.to->port()));
  EXPECT_TRUE(other->bind(0)) << "and the socket is still good";
  EXPECT_NE(other->port(), 0);
  sockaddr_storage address{};
  const socklen_t bytes = Address::parse("127.0.0.1")->to_sockaddr(pair.to->port(), address);
  UniqueFd plain(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(sendto(plain.get(), "", 0, 0, reinterpret_cast<sockaddr*>(&address), bytes), 0);
  UdpReceiver receiver;
  pollfd wait{pair.to->fd(), POLLIN, 0};
  ASSERT_EQ(poll(&wait, 1, 2'000), 1);
  const auto trains = receiver.receive(*pair.to);
  ASSERT_EQ(trains.size(), 1u);
  EXPECT_TRUE(trains[0].bytes.empty());
}

}  // namespace
}  // namespace icon::tunnel
