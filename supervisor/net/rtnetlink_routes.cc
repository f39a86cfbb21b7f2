// Routes: several at once, in one message.
#include <arpa/inet.h>
#include <linux/rtnetlink.h>

#include <cstring>

#include "supervisor/net/rtnetlink.h"
#include "supervisor/net/rtnetlink_message.h"

namespace icon::net {
namespace {

// In one send: each is acknowledged at once, and a socket does not hold any number of answers.
constexpr std::size_t kRoutesPerSendMax = 64;

void fill(Message& message, const Route& route) {
  auto& family = message.family<rtmsg>();
  family.rtm_family = family_of(route.destination.address);
  family.rtm_dst_len = static_cast<std::uint8_t>(route.destination.length);
  family.rtm_table = RT_TABLE_UNSPEC;
  family.rtm_protocol = kRouteProtocol;
  if (route.interface == kAnyInterface) {
    family.rtm_type = RTN_UNSPEC;
    family.rtm_scope = RT_SCOPE_NOWHERE;
  } else {
    family.rtm_type = route.interface == 0 ? RTN_BLACKHOLE : RTN_UNICAST;
    family.rtm_scope =
        route.via_gateway || route.interface == 0 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
  }
  if (route.via_gateway) family.rtm_flags = RTNH_F_ONLINK;
  if (route.destination.length > 0) message.put(RTA_DST, route.destination.address);
  if (route.via_gateway) message.put(RTA_GATEWAY, route.gateway);
  if (route.interface > 0) message.put(RTA_OIF, static_cast<std::uint32_t>(route.interface));
  if (route.metric != 0) message.put(RTA_PRIORITY, route.metric);
  message.put(RTA_TABLE, route.table);
}

Address address_in(const nlattr* attribute) {
  std::array<std::uint8_t, 16> bytes{};
  if (mnl_attr_get_payload_len(attribute) == 4)
    return Address::v4(ntohl(mnl_attr_get_u32(attribute)));
  std::memcpy(bytes.data(), mnl_attr_get_payload(attribute),
              std::min<std::size_t>(bytes.size(), mnl_attr_get_payload_len(attribute)));
  return Address::v6(bytes);
}

int parse_own_route(const nlmsghdr* header, void* result) {
  const auto* family = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(header));
  if (family->rtm_protocol != kRouteProtocol) return MNL_CB_OK;
  Route route;
  if (family->rtm_family == AF_INET6) route.destination.address = Address::v6({});
  route.destination.length = family->rtm_dst_len;
  route.table = family->rtm_table;
  for_each_attribute(header, sizeof(rtmsg), [&](const nlattr* attribute) {
    switch (mnl_attr_get_type(attribute)) {
      case RTA_DST:
        route.destination.address = address_in(attribute);
        break;
      case RTA_OIF:
        route.interface = static_cast<int>(mnl_attr_get_u32(attribute));
        break;
      case RTA_PRIORITY:
        route.metric = mnl_attr_get_u32(attribute);
        break;
      case RTA_TABLE:
        route.table = mnl_attr_get_u32(attribute);
        break;
      default:
        break;
    }
  });
  static_cast<std::vector<Route>*>(result)->push_back(route);
  return MNL_CB_OK;
}

// Of a route that has several ways: each with an interface and attributes of its own.
void add_gateways(const nlattr* ways, std::set<int>& interfaces) {
  const auto* way = static_cast<const rtnexthop*>(mnl_attr_get_payload(ways));
  int left = mnl_attr_get_payload_len(ways);
  for (; RTNH_OK(way, left); left -= NLMSG_ALIGN(way->rtnh_len), way = RTNH_NEXT(way)) {
    const auto* end = reinterpret_cast<const char*>(way) + way->rtnh_len;
    const auto* attribute = reinterpret_cast<const nlattr*>(RTNH_DATA(way));
    while (
        mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)))) {
      if (mnl_attr_get_type(attribute) == RTA_GATEWAY || mnl_attr_get_type(attribute) == RTA_VIA)
        interfaces.insert(way->rtnh_ifindex);
      attribute = mnl_attr_next(attribute);
    }
  }
}

int parse_gateway(const nlmsghdr* header, void* result) {
  auto& interfaces = *static_cast<std::set<int>*>(result);
  const auto* family = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(header));
  if (family->rtm_table != kMainTable || family->rtm_type != RTN_UNICAST) return MNL_CB_OK;
  int interface = 0;
  bool gateway = false;
  for_each_attribute(header, sizeof(rtmsg), [&](const nlattr* attribute) {
    switch (mnl_attr_get_type(attribute)) {
      case RTA_GATEWAY:
      case RTA_VIA:
        gateway = true;
        break;
      case RTA_OIF:
        interface = static_cast<int>(mnl_attr_get_u32(attribute));
        break;
      case RTA_MULTIPATH:
        add_gateways(attribute, interfaces);
        break;
      default:
        break;
    }
  });
  if (gateway && interface > 0) interfaces.insert(interface);
  return MNL_CB_OK;
}

}  // namespace

Result<std::vector<int>> RouteSocket::acknowledgements(std::uint32_t first, std::size_t count) {
  constexpr int kNone = -1;
  std::vector<int> errors(count, kNone);
  alignas(nlmsghdr) static thread_local char answer[kReceiveBytes];
  for (std::size_t missing = count; missing > 0;) {
    const ssize_t got = mnl_socket_recvfrom(socket_, answer, sizeof answer);
    if (got < 0) return fail_errno("hear from the kernel about routes");
    int left = static_cast<int>(got);
    for (const auto* header = reinterpret_cast<const nlmsghdr*>(answer); mnl_nlmsg_ok(header, left);
         header = mnl_nlmsg_next(header, &left)) {
      // An answer to an earlier request that had timed out is passed over.
      const std::uint32_t which = header->nlmsg_seq - first;
      if (header->nlmsg_type != NLMSG_ERROR || which >= count || errors[which] != kNone) continue;
      errors[which] = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(header))->error;
      --missing;
    }
  }
  return errors;
}

Status RouteSocket::change_routes(std::uint16_t type, std::uint16_t flags,
                                  const std::vector<Route>& routes, const std::string& what,
                                  std::initializer_list<int> harmless) {
  Status first_error;
  for (std::size_t begin = 0; begin < routes.size(); begin += kRoutesPerSendMax) {
    const std::size_t count = std::min(kRoutesPerSendMax, routes.size() - begin);
    const std::uint32_t first = sequence_ + 1;
    std::vector<char> batch;
    for (std::size_t i = begin; i < begin + count; ++i) {
      Message message(type, flags);
      fill(message, routes[i]);
      message.get()->nlmsg_seq = ++sequence_;
      const char* bytes = reinterpret_cast<const char*>(message.get());
      batch.insert(batch.end(), bytes, bytes + MNL_ALIGN(message.get()->nlmsg_len));
    }
    if (mnl_socket_sendto(socket_, batch.data(), batch.size()) < 0) return fail_errno(what);
    ICON_TRY(const std::vector<int> errors, acknowledgements(first, count));
    for (std::size_t i = 0; i < count; ++i) {
      auto status =
          outcome_of(errors[i], what + routes[begin + i].destination.to_string(), harmless);
      if (first_error && !status) first_error = std::move(status);
    }
  }
  return first_error;
}

Status RouteSocket::replace_routes(const std::vector<Route>& routes) {
  return change_routes(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, routes, "route to ", {});
}

Status RouteSocket::delete_routes(const std::vector<Route>& routes) {
  return change_routes(RTM_DELROUTE, 0, routes, "delete the route to ", {ESRCH, ENODEV});
}

Result<std::set<int>> RouteSocket::gateway_interfaces() {
  Message message(RTM_GETROUTE, NLM_F_DUMP);
  message.family<rtmsg>().rtm_family = AF_INET;
  std::set<int> found;
  if (const int error = exchange(message.get(), parse_gateway, &found); error != 0)
    return fail_errno("list routes", error);
  return found;
}

Result<std::vector<Route>> RouteSocket::own_routes() {
  std::vector<Route> found;
  for (const std::uint8_t family : kFamilies) {
    Message message(RTM_GETROUTE, NLM_F_DUMP);
    message.family<rtmsg>().rtm_family = family;
    if (const int error = exchange(message.get(), parse_own_route, &found); error != 0)
      return fail_errno("list routes", error);
  }
  return found;
}

}  // namespace icon::net
