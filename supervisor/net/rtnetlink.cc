#include "supervisor/net/rtnetlink.h"

#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "supervisor/net/names.h"
#include "supervisor/net/rtnetlink_message.h"

namespace icon::net {
namespace {

constexpr std::uint32_t kMarkBits = kTunnelMarkBase;
constexpr std::uint32_t kMarkMask = 0xffff'0000;
constexpr std::uint32_t kOwnPacketsPriority = kRulePriority - 2;
constexpr std::uint32_t kSkipPriority = kRulePriority - 1;
constexpr std::uint32_t kSkipEndPriority = kRulePriority + 1;
constexpr timeval kAnswerTimeout{2, 0};

// A socket has a receive timeout of its own: a kernel that never answers is an error, not a hang.
Result<mnl_socket*> open_socket() {
  mnl_socket* socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
  if (socket == nullptr) return fail_errno("open an rtnetlink socket");
  setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &kAnswerTimeout,
             sizeof kAnswerTimeout);
  if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) {
    const int error = errno;
    mnl_socket_close(socket);
    return fail_errno("bind an rtnetlink socket", error);
  }
  return socket;
}

void fill(Message& message, std::uint8_t of, const MarkRule& rule) {
  auto& family = message.family<fib_rule_hdr>();
  family.family = of;
  family.action = FR_ACT_TO_TBL;
  message.put(FRA_FWMARK, rule.mark);
  message.put(FRA_FWMASK, 0xffff'ffff);
  message.put(FRA_TABLE, rule.table);
  message.put(FRA_PRIORITY, rule.priority);
}

void fill(Message& message, std::uint8_t of, FrameRule rule) {
  auto& family = message.family<fib_rule_hdr>();
  family.family = of;
  if (rule == FrameRule::kSkipEnd) {
    family.action = FR_ACT_NOP;
    message.put(FRA_PRIORITY, kSkipEndPriority);
    return;
  }
  message.put(FRA_FWMARK, kMarkBits);
  message.put(FRA_FWMASK, kMarkMask);
  if (rule == FrameRule::kSkip) {
    family.action = FR_ACT_GOTO;
    family.flags = FIB_RULE_INVERT;
    message.put(FRA_GOTO, kSkipEndPriority);
    message.put(FRA_PRIORITY, kSkipPriority);
    return;
  }
  family.action = FR_ACT_TO_TBL;
  message.put(FRA_IIFNAME, std::string("lo"));  // what leaves a socket, for the rules
  message.put(FRA_TABLE, kMainTable);
  message.put(FRA_PRIORITY, kOwnPacketsPriority);
}

int parse_rule(const nlmsghdr* header, void* result) {
  MarkRule rule;
  bool marked = false;
  bool plain =
      static_cast<const fib_rule_hdr*>(mnl_nlmsg_get_payload(header))->action == FR_ACT_TO_TBL;
  for_each_attribute(header, sizeof(fib_rule_hdr), [&](const nlattr* attribute) {
    switch (mnl_attr_get_type(attribute)) {
      case FRA_FWMARK:
        rule.mark = mnl_attr_get_u32(attribute);
        marked = true;
        break;
      case FRA_TABLE:
        rule.table = mnl_attr_get_u32(attribute);
        break;
      case FRA_PRIORITY:
        rule.priority = mnl_attr_get_u32(attribute);
        break;
      case FRA_IIFNAME:
      case FRA_OIFNAME:
      case FRA_SRC:
      case FRA_DST:
        plain = false;
        break;
      default:
        break;
    }
  });
  if (marked && plain) static_cast<std::vector<MarkRule>*>(result)->push_back(rule);
  return MNL_CB_OK;
}

int parse_link(const nlmsghdr* header, void* result) {
  for_each_attribute(header, sizeof(ifinfomsg), [&](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) == IFLA_IFNAME)
      static_cast<std::vector<std::string>*>(result)->emplace_back(mnl_attr_get_str(attribute));
  });
  return MNL_CB_OK;
}

int parse_one_link(const nlmsghdr* header, void* result) {
  const auto* family = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(header));
  Link& link = *static_cast<Link*>(result);
  link.index = family->ifi_index;
  link.type = family->ifi_type;
  for_each_attribute(header, sizeof(ifinfomsg), [&](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) == IFLA_MTU)
      link.mtu = static_cast<int>(mnl_attr_get_u32(attribute));
  });
  return MNL_CB_OK;
}

}  // namespace

Result<RouteSocket> RouteSocket::open() {
  ICON_TRY(mnl_socket * socket, open_socket());
  return RouteSocket(socket);
}

RouteSocket::RouteSocket(RouteSocket&& other) noexcept
    : socket_(std::exchange(other.socket_, nullptr)), sequence_(other.sequence_) {}

RouteSocket& RouteSocket::operator=(RouteSocket&& other) noexcept {
  std::swap(socket_, other.socket_);
  std::swap(sequence_, other.sequence_);
  return *this;
}

RouteSocket::~RouteSocket() {
  if (socket_ != nullptr) mnl_socket_close(socket_);
}

int RouteSocket::exchange(nlmsghdr* message, Parse parse, void* result) {
  message->nlmsg_seq = ++sequence_;
  if (mnl_socket_sendto(socket_, message, message->nlmsg_len) < 0) return errno;
  alignas(nlmsghdr) static thread_local char answer[kReceiveBytes];
  for (;;) {
    const ssize_t count = mnl_socket_recvfrom(socket_, answer, sizeof answer);
    if (count < 0) return errno;
    // An answer to an earlier request that had timed out is passed over.
    if (reinterpret_cast<const nlmsghdr*>(answer)->nlmsg_seq != sequence_) continue;
    const int state = mnl_cb_run(answer, static_cast<std::size_t>(count), sequence_,
                                 mnl_socket_get_portid(socket_), parse, result);
    if (state < 0) return errno;
    if (state == MNL_CB_STOP) return 0;
  }
}

Status RouteSocket::talk(nlmsghdr* message, const std::string& what,
                         std::initializer_list<int> harmless) {
  return outcome_of(exchange(message, nullptr, nullptr), what, harmless);
}

Status RouteSocket::add_veth(const VethPair& pair) {
  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.family<ifinfomsg>().ifi_family = AF_UNSPEC;
  message.put(IFLA_IFNAME, pair.name);
  message.put(IFLA_ADDRESS, pair.mac.data(), pair.mac.size());
  message.put(IFLA_MTU, static_cast<std::uint32_t>(pair.mtu));
  nlattr* info = message.nest(IFLA_LINKINFO);
  message.put(IFLA_INFO_KIND, std::string("veth"));
  nlattr* data = message.nest(IFLA_INFO_DATA);
  nlattr* peer = message.nest(VETH_INFO_PEER);
  message.family<ifinfomsg>().ifi_family = AF_UNSPEC;
  message.put(IFLA_IFNAME, pair.peer_name);
  message.put(IFLA_ADDRESS, pair.peer_mac.data(), pair.peer_mac.size());
  message.put(IFLA_MTU, static_cast<std::uint32_t>(pair.mtu));
  message.put(IFLA_NET_NS_FD, static_cast<std::uint32_t>(pair.peer_netns_fd));
  message.end(peer);
  message.end(data);
  message.end(info);
  return talk(message.get(), "create veth " + pair.name, {});
}

Status RouteSocket::delete_link(const std::string& name) {
  Message message(RTM_DELLINK, 0);
  message.family<ifinfomsg>().ifi_family = AF_UNSPEC;
  message.put(IFLA_IFNAME, name);
  return talk(message.get(), "delete interface " + name, {ENODEV, ENXIO});
}

Status RouteSocket::set_link_up(int interface) {
  Message message(RTM_NEWLINK, 0);
  auto& family = message.family<ifinfomsg>();
  family.ifi_index = interface;
  family.ifi_flags = IFF_UP;
  family.ifi_change = IFF_UP;
  return talk(message.get(), "set interface " + std::to_string(interface) + " up", {});
}

Status RouteSocket::set_link_mtu(int interface, int mtu, std::optional<int> queue_packets) {
  Message message(RTM_NEWLINK, 0);
  message.family<ifinfomsg>().ifi_index = interface;
  message.put(IFLA_MTU, static_cast<std::uint32_t>(mtu));
  if (queue_packets) message.put(IFLA_TXQLEN, static_cast<std::uint32_t>(*queue_packets));
  return talk(message.get(), "set the MTU of interface " + std::to_string(interface), {});
}

Status RouteSocket::add_address(int interface, const Address& address, bool link_scope) {
  Message message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
  auto& family = message.family<ifaddrmsg>();
  family.ifa_family = family_of(address);
  family.ifa_prefixlen = address.is_v4() ? 32 : 128;
  // Usable at once: it is nobody else's.
  if (!address.is_v4()) family.ifa_flags = IFA_F_NODAD;
  family.ifa_scope = link_scope ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  family.ifa_index = static_cast<std::uint32_t>(interface);
  message.put(IFA_LOCAL, address);
  message.put(IFA_ADDRESS, address);
  return talk(message.get(), "add address " + address.to_string(), {EEXIST});
}

Status RouteSocket::set_neighbour(int interface, const Address& address, const Mac& mac) {
  Message message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
  auto& family = message.family<ndmsg>();
  family.ndm_family = family_of(address);
  family.ndm_ifindex = interface;
  family.ndm_state = NUD_PERMANENT;
  message.put(NDA_DST, address);
  message.put(NDA_LLADDR, mac.data(), mac.size());
  return talk(message.get(), "set neighbour " + address.to_string(), {});
}

Status RouteSocket::add_rule(const MarkRule& rule) {
  for (const std::uint8_t family : kFamilies) {
    Message message(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL);
    fill(message, family, rule);
    // A kernel without IPv6 has no such rules.
    ICON_CHECK(talk(message.get(), "add a rule for mark " + std::to_string(rule.mark),
                    {EEXIST, EAFNOSUPPORT, EOPNOTSUPP}));
  }
  return {};
}

Status RouteSocket::delete_rule(const MarkRule& rule) {
  for (const std::uint8_t family : kFamilies) {
    Message message(RTM_DELRULE, 0);
    fill(message, family, rule);
    // A kernel without IPv6 has no such rules.
    ICON_CHECK(talk(message.get(), "delete the rule for mark " + std::to_string(rule.mark),
                    {ENOENT, EAFNOSUPPORT, EOPNOTSUPP}));
  }
  return {};
}

Status RouteSocket::add_rule(FrameRule rule) {
  for (const std::uint8_t family : kFamilies) {
    Message message(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL);
    fill(message, family, rule);
    // A kernel without IPv6 has no such rules.
    ICON_CHECK(talk(message.get(), "add a rule around ours", {EEXIST, EAFNOSUPPORT, EOPNOTSUPP}));
  }
  return {};
}

Status RouteSocket::delete_rule(FrameRule rule) {
  for (const std::uint8_t family : kFamilies) {
    Message message(RTM_DELRULE, 0);
    fill(message, family, rule);
    // A kernel without IPv6 has no such rules.
    ICON_CHECK(
        talk(message.get(), "delete a rule around ours", {ENOENT, EAFNOSUPPORT, EOPNOTSUPP}));
  }
  return {};
}

Result<std::vector<MarkRule>> RouteSocket::rules() {
  Message message(RTM_GETRULE, NLM_F_DUMP);
  message.family<fib_rule_hdr>().family = AF_INET;
  std::vector<MarkRule> found;
  if (const int error = exchange(message.get(), parse_rule, &found); error != 0)
    return fail_errno("list rules", error);
  return found;
}

Result<std::vector<std::string>> RouteSocket::link_names() {
  Message message(RTM_GETLINK, NLM_F_DUMP);
  message.family<ifinfomsg>().ifi_family = AF_UNSPEC;
  std::vector<std::string> names;
  if (const int error = exchange(message.get(), parse_link, &names); error != 0)
    return fail_errno("list interfaces", error);
  return names;
}

Result<Link> RouteSocket::link(const std::string& name) {
  Message message(RTM_GETLINK, 0);
  message.family<ifinfomsg>().ifi_family = AF_UNSPEC;
  message.put(IFLA_IFNAME, name);
  Link link;
  const int error = exchange(message.get(), parse_one_link, &link);
  if (error == ENODEV) return fail(Code::kNotFound, "no interface " + name);
  if (error != 0) return fail_errno("interface " + name, error);
  return link;
}

Result<int> RouteSocket::link_index(const std::string& name) {
  ICON_TRY(Link found, link(name));
  return found.index;
}

}  // namespace icon::net
