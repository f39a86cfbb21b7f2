#include "migration/movable/unix_sockets.h"

#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <sys/socket.h>

#include <cstring>
#include <string>
#include <vector>

namespace icon::migration {
namespace {

using Bytes = std::vector<std::uint8_t>;

template <class T>
void append(Bytes& bytes, const T& value) {
  const auto* begin = reinterpret_cast<const std::uint8_t*>(&value);
  bytes.insert(bytes.end(), begin, begin + sizeof value);
  bytes.resize((bytes.size() + 3) / 4 * 4);
}

template <class T>
Bytes attribute(int type, const T& value) {
  Bytes bytes;
  append(bytes, nlattr{static_cast<std::uint16_t>(NLA_HDRLEN + sizeof value),
                       static_cast<std::uint16_t>(type)});
  append(bytes, value);
  return bytes;
}

Bytes message(int type, const Bytes& body) {
  Bytes bytes;
  nlmsghdr header{};
  header.nlmsg_len = static_cast<std::uint32_t>(NLMSG_HDRLEN + body.size());
  header.nlmsg_type = static_cast<std::uint16_t>(type);
  append(bytes, header);
  bytes.insert(bytes.end(), body.begin(), body.end());
  return bytes;
}

Bytes socket_message(std::uint32_t inode, int type, int state,
                     const std::vector<Bytes>& attributes) {
  Bytes body;
  unix_diag_msg socket{};
  socket.udiag_family = AF_UNIX;
  socket.udiag_type = static_cast<std::uint8_t>(type);
  socket.udiag_state = static_cast<std::uint8_t>(state);
  socket.udiag_ino = inode;
  append(body, socket);
  for (const auto& attribute : attributes)
    body.insert(body.end(), attribute.begin(), attribute.end());
  return message(SOCK_DIAG_BY_FAMILY, body);
}

Bytes joined(const std::vector<Bytes>& parts) {
  Bytes all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

TEST(UnixDiag, PeersListenersAndHalfClosedOnes) {
  struct Two {
    std::uint32_t first, second;
  };
  UnixSockets sockets;
  const auto outcome = parse_unix_diag(
      joined({socket_message(10, SOCK_STREAM, 1, {attribute(UNIX_DIAG_PEER, std::uint32_t{11})}),
              socket_message(11, SOCK_STREAM, 1,
                             {attribute(UNIX_DIAG_NAME, std::uint32_t{0x61616161}),
                              attribute(UNIX_DIAG_PEER, std::uint32_t{10})}),
              socket_message(12, SOCK_STREAM, 10, {attribute(UNIX_DIAG_ICONS, Two{13, 14})}),
              socket_message(13, SOCK_STREAM, 1, {}),
              socket_message(15, SOCK_STREAM, 1, {attribute(UNIX_DIAG_SHUTDOWN, std::uint8_t{3})}),
              socket_message(16, SOCK_DGRAM, 7, {}), message(NLMSG_DONE, {})}),
      sockets);
  ASSERT_TRUE(outcome);
  EXPECT_TRUE(outcome->done);
  EXPECT_EQ(sockets.at(10).peer, 11u);
  EXPECT_EQ(sockets.at(11).peer, 10u);
  EXPECT_FALSE(sockets.at(12).is_connected);
  EXPECT_EQ(sockets.at(13).asked, 12u);
  EXPECT_TRUE(sockets.at(13).is_connected);
  EXPECT_TRUE(sockets.at(15).is_shut);
  EXPECT_TRUE(sockets.at(16).is_datagram);
}

TEST(UnixDiag, ARefusalIsTold) {
  Bytes body;
  nlmsgerr error{};
  error.error = -ENOENT;
  append(body, error);
  UnixSockets sockets;
  EXPECT_EQ(parse_unix_diag(message(NLMSG_ERROR, body), sockets)->error, ENOENT);
  EXPECT_NE(parse_unix_diag(message(NLMSG_ERROR, {}), sockets)->error, 0);
}

TEST(UnixDiag, CutOffAnywhereItStaysWithinItsBytes) {
  const auto whole = joined(
      {socket_message(10, SOCK_STREAM, 1, {attribute(UNIX_DIAG_PEER, std::uint32_t{11})}),
       socket_message(12, SOCK_STREAM, 10, {attribute(UNIX_DIAG_ICONS, std::uint64_t{13})})});
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    UnixSockets sockets;
    const auto outcome = parse_unix_diag(part, sockets);
    ASSERT_TRUE(outcome);
    EXPECT_FALSE(outcome->done);
    EXPECT_LE(sockets.size(), 1u);
  }
}

TEST(UnixDiag, LengthsThatLie) {
  UnixSockets sockets;
  auto bytes = socket_message(10, SOCK_STREAM, 1, {attribute(UNIX_DIAG_PEER, std::uint32_t{11})});
  const std::size_t at = NLMSG_HDRLEN + sizeof(unix_diag_msg);
  for (const std::uint16_t length : {0, 1, 3, 200, 65535}) {
    std::memcpy(bytes.data() + at, &length, sizeof length);
    ASSERT_TRUE(parse_unix_diag(bytes, sockets));
    EXPECT_EQ(sockets.at(10).peer, 0u) << length;
  }
  for (const std::uint32_t length : {0U, 15U, 1000U, ~0U}) {
    sockets.clear();
    std::memcpy(bytes.data(), &length, sizeof length);
    ASSERT_TRUE(parse_unix_diag(bytes, sockets));
    EXPECT_TRUE(sockets.empty()) << length;
  }
}

}  // namespace
}  // namespace icon::migration
