#include "migration/datagrams.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

namespace icon::migration {
namespace {

constexpr const char* kHead =
    "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout\n";

TEST(Datagrams, WhatWaitsInAllSocketsIsAdded) {
  const std::string text = std::string(kHead) +
                           "  12: 00000000:2328 00000000:0000 07 00000000:00000300 00:00000000 0\n"
                           "  99: 0100007F:0035 00000000:0000 07 00000010:00000001 00:00000000 0\n";
  EXPECT_EQ(parse_unread_bytes(text).value(), 0x301u);
  EXPECT_EQ(parse_unread_bytes(kHead).value(), 0u);
  EXPECT_EQ(parse_unread_bytes("").value(), 0u);
}

TEST(Datagrams, WhatIsNoSuchTableIsRefused) {
  for (const char* line :
       {"12:\n", "12: a b 07 00000000\n", "12: a b 07 0:xyz\n", "12: a b 07 0:\n"})
    EXPECT_EQ(parse_unread_bytes(std::string(kHead) + line).error().code, Code::kInvalid) << line;
}

TEST(Datagrams, ARealSocketUntilItIsRead) {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const name = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(bind(socket.get(), name, size), 0);
  ASSERT_EQ(getsockname(socket.get(), name, &size), 0);
  ASSERT_EQ(sendto(socket.get(), "one", 3, 0, name, size), 3);
  EXPECT_GT(unread_datagram_bytes(getpid()).value_or(0), 0u);
  EXPECT_FALSE(unread_datagram_bytes(0));
}

}  // namespace
}  // namespace icon::migration
