// Routes as the kernel gets them: a switch of both families is one message, make before break.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <poll.h>

#include "supervisor/net/netns_files.h"
#include "supervisor/net/rtnetlink.h"
#include "tests/netns/net_sockets.h"

namespace {
// Requests in each send of this process.
std::vector<int> sends;
}  // namespace

extern "C" ssize_t mnl_socket_sendto(const mnl_socket* socket, const void* bytes, size_t size) {
  int requests = 0;
  int left = static_cast<int>(size);
  for (const auto* header = static_cast<const nlmsghdr*>(bytes); mnl_nlmsg_ok(header, left);
       header = mnl_nlmsg_next(header, &left))
    ++requests;
  sends.push_back(requests);
  static const auto real =
      reinterpret_cast<decltype(&mnl_socket_sendto)>(dlsym(RTLD_NEXT, "mnl_socket_sendto"));
  return real(socket, bytes, size);
}

namespace icon::net::test {
namespace {

class NetRoutes : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(ensure_netns(netns_));
    must(netns_,
         "ip link set lo up; ip link add one type veth peer name other; "
         "ip link set one up; ip link set other up");
    thread_ = std::make_unique<NetnsThread>(netns_);
    auto routes = thread_->run([] { return RouteSocket::open(); });
    ASSERT_TRUE(routes) << routes.error().message;
    routes_ = std::make_unique<RouteSocket>(std::move(*routes));
    one_ = *routes_->link_index("one");
    other_ = *routes_->link_index("other");
    sends.clear();
  }
  void TearDown() override {
    routes_.reset();
    thread_.reset();
    EXPECT_TRUE(remove_netns(netns_));
  }
  Route v4(int interface) const {
    return {.destination = *Prefix::parse("100.64.0.1/32"), .interface = interface};
  }
  Route v6(int interface) const {
    return {.destination = *Prefix::parse("fd49::1/128"), .interface = interface};
  }
  std::string shown() const {
    return shell(netns_, "ip route show proto 73; ip -6 route show proto 73").output;
  }

  std::string netns_ = prefix() + "routes";
  std::unique_ptr<NetnsThread> thread_;
  std::unique_ptr<RouteSocket> routes_;
  int one_ = 0;
  int other_ = 0;
};

TEST_F(NetRoutes, ASwitchOfBothFamiliesIsOneMessage) {
  ASSERT_TRUE(routes_->replace_routes({v4(one_), v6(one_)}));
  EXPECT_EQ(sends, std::vector<int>{2});
  EXPECT_NE(shown().find("100.64.0.1 dev one"), std::string::npos) << shown();
  EXPECT_NE(shown().find("fd49::1 dev one"), std::string::npos) << shown();
  sends.clear();
  ASSERT_TRUE(routes_->delete_routes({v4(one_), v6(one_)}));
  EXPECT_EQ(sends, std::vector<int>{2});
  EXPECT_EQ(shown(), "");
  ASSERT_TRUE(routes_->delete_routes({v4(one_), v6(one_)})) << "what is not there is no error";
}

// What the kernel tells about it: a new route in the place of the old one, nothing in between.
TEST_F(NetRoutes, ASwitchDeletesNothing) {
  ASSERT_TRUE(routes_->replace_routes({v4(one_), v6(one_)}));
  const std::unique_ptr<mnl_socket, int (*)(mnl_socket*)> heard(
      thread_->run([] { return mnl_socket_open(NETLINK_ROUTE); }), mnl_socket_close);
  ASSERT_TRUE(heard);
  ASSERT_EQ(mnl_socket_bind(heard.get(), RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE, 0), 0);
  ASSERT_TRUE(routes_->replace_routes({v4(other_), v6(other_)}));
  std::vector<int> types;
  pollfd ready{mnl_socket_get_fd(heard.get()), POLLIN, 0};
  while (poll(&ready, 1, 0) > 0) {
    alignas(nlmsghdr) char buffer[8192];
    ASSERT_GT(mnl_socket_recvfrom(heard.get(), buffer, sizeof buffer), 0);
    const auto* header = reinterpret_cast<const nlmsghdr*>(buffer);
    types.push_back(header->nlmsg_type);
    EXPECT_TRUE(header->nlmsg_flags & NLM_F_REPLACE);
  }
  EXPECT_EQ(types, (std::vector<int>{RTM_NEWROUTE, RTM_NEWROUTE}));
  EXPECT_EQ(shown().find("dev one"), std::string::npos) << shown();
}

TEST_F(NetRoutes, EveryAnswerCountsAndTheOthersAreCarriedOut) {
  constexpr int kNowhere = 12'345;
  for (const auto& routes :
       {std::vector{v4(kNowhere), v6(one_)}, std::vector{v6(one_), v4(kNowhere)}}) {
    const auto status = routes_->replace_routes(routes);
    ASSERT_FALSE(status);
    EXPECT_NE(status.error().message.find("100.64.0.1"), std::string::npos)
        << status.error().message;
    EXPECT_NE(shown().find("fd49::1 dev one"), std::string::npos) << shown();
    ASSERT_TRUE(routes_->delete_route(v6(one_)));
  }
  EXPECT_TRUE(routes_->replace_route(v4(one_))) << "no answer is left over";
}

TEST_F(NetRoutes, MoreThanTheKernelAnswersAtOnceGoesInParts) {
  std::vector<Route> many(150, v4(one_));
  for (std::size_t i = 0; i < many.size(); ++i)
    many[i].destination.address = Address::v4(0x64400001 + static_cast<std::uint32_t>(i));
  ASSERT_TRUE(routes_->replace_routes(many));
  EXPECT_EQ(sends, (std::vector<int>{64, 64, 22}));
  EXPECT_EQ(shell(netns_, "ip route show proto 73 | wc -l").output, "150\n");
}

TEST_F(NetRoutes, TheInterfacesThatLeadToGateways) {
  must(netns_, "ip addr add 10.9.0.1/30 dev one; ip addr add 10.9.1.1/30 dev other");
  EXPECT_TRUE(routes_->gateway_interfaces()->empty());
  must(netns_, "ip route add default via 10.9.0.2");
  EXPECT_EQ(routes_->gateway_interfaces().value(), (std::set<int>{one_}));
  must(netns_,
       "ip route del default; ip route add 192.0.2.0/24 nexthop via 10.9.0.2 nexthop via "
       "10.9.1.2");
  EXPECT_EQ(routes_->gateway_interfaces().value(), (std::set<int>{one_, other_}));
}

}  // namespace
}  // namespace icon::net::test
