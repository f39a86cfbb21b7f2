#include "supervisor/net/conntrack.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <sys/time.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/file.h"
#include "supervisor/net/netlink_attributes.h"
#include "supervisor/net/rtnetlink_message.h"

namespace icon::net {
namespace {

constexpr timeval kAnswerTimeout{2, 0};
// Which part of a tuple a dump is filtered by; the kernel has no name for it in its user headers.
constexpr std::uint32_t kFilterBySource = 1;

constexpr std::uint16_t message_type(std::uint16_t what) {
  return static_cast<std::uint16_t>(NFNL_SUBSYS_CTNETLINK << 8 | what);
}

void read_tuple(const nlattr* tuple, TrackedConnection& connection, Endpoint& from, Endpoint& to) {
  for_each_nested(tuple, [&](const nlattr* part) {
    const int kind = mnl_attr_get_type(part);
    if (kind != CTA_TUPLE_IP && kind != CTA_TUPLE_PROTO) return;
    for_each_nested(part, [&](const nlattr* value) {
      const int type = mnl_attr_get_type(value);
      if (kind == CTA_TUPLE_IP) {
        if (type == CTA_IP_V4_SRC || type == CTA_IP_V6_SRC) read_address(value, from.address);
        if (type == CTA_IP_V4_DST || type == CTA_IP_V6_DST) read_address(value, to.address);
      } else if (type == CTA_PROTO_NUM) {
        connection.protocol = mnl_attr_get_u8(value);
      } else if (type == CTA_PROTO_SRC_PORT) {
        from.port = ntohs(mnl_attr_get_u16(value));
      } else if (type == CTA_PROTO_DST_PORT) {
        to.port = ntohs(mnl_attr_get_u16(value));
      }
    });
  });
}

void read_state(const nlattr* info, TrackedConnection& connection) {
  for_each_nested(info, [&](const nlattr* protocol) {
    if (mnl_attr_get_type(protocol) != CTA_PROTOINFO_TCP) return;
    for_each_nested(protocol, [&](const nlattr* value) {
      if (mnl_attr_get_type(value) == CTA_PROTOINFO_TCP_STATE)
        connection.tcp_state = mnl_attr_get_u8(value);
    });
  });
}

TrackedConnection read_connection(const nlmsghdr* header) {
  TrackedConnection connection;
  for_each_attribute(header, sizeof(nfgenmsg), [&](const nlattr* attribute) {
    const int type = mnl_attr_get_type(attribute);
    if (type == CTA_TUPLE_ORIG) read_tuple(attribute, connection, connection.from, connection.to);
    if (type == CTA_TUPLE_REPLY)
      read_tuple(attribute, connection, connection.answer_from, connection.answer_to);
    if (type == CTA_MARK) connection.mark = ntohl(mnl_attr_get_u32(attribute));
    if (type == CTA_PROTOINFO) read_state(attribute, connection);
  });
  return connection;
}

// With its number: another connection by the same addresses and ports is another one.
std::string read_handle(const nlmsghdr* header) {
  std::string attributes;
  for_each_attribute(header, sizeof(nfgenmsg), [&](const nlattr* attribute) {
    const int type = mnl_attr_get_type(attribute);
    if (type == CTA_TUPLE_ORIG || type == CTA_ZONE || type == CTA_ID)
      attributes.append(reinterpret_cast<const char*>(attribute),
                        static_cast<std::size_t>(MNL_ALIGN(attribute->nla_len)));
  });
  return attributes;
}

// In this namespace; unknown is many.
std::size_t connections_now() {
  const auto text = read_file("/proc/sys/net/netfilter/nf_conntrack_count", 32);
  return text ? std::strtoul(text->c_str(), nullptr, 10) : SIZE_MAX;
}

void put_filter(Message& message, const Address& source, bool of_answers) {
  nlattr* outer = message.nest(of_answers ? CTA_TUPLE_REPLY : CTA_TUPLE_ORIG);
  nlattr* inner = message.nest(CTA_TUPLE_IP);
  message.put(CTA_IP_V4_SRC, source);
  message.end(inner);
  message.end(outer);
  nlattr* filter = message.nest(CTA_FILTER);
  message.put(of_answers ? CTA_FILTER_REPLY_FLAGS : CTA_FILTER_ORIG_FLAGS, kFilterBySource);
  message.end(filter);
}

}  // namespace

bool TrackedConnection::has_ended() const {
  return protocol == IPPROTO_TCP &&
         (tcp_state == TCP_CONNTRACK_LAST_ACK || tcp_state == TCP_CONNTRACK_TIME_WAIT ||
          tcp_state == TCP_CONNTRACK_CLOSE);
}

bool TrackedConnection::is_established() const {
  return protocol == IPPROTO_TCP && tcp_state == TCP_CONNTRACK_ESTABLISHED;
}

Result<Conntrack> Conntrack::open(std::size_t listed_max) {
  mnl_socket* socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
  if (socket == nullptr) return fail_errno("open a conntrack socket");
  Conntrack opened(socket, listed_max);
  setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &kAnswerTimeout,
             sizeof kAnswerTimeout);
  if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
    return fail_errno("bind a conntrack socket");
  return opened;
}

Conntrack::Conntrack(Conntrack&& other) noexcept
    : socket_(std::exchange(other.socket_, nullptr)),
      listed_max_(other.listed_max_),
      sequence_(other.sequence_) {}

Conntrack& Conntrack::operator=(Conntrack&& other) noexcept {
  std::swap(socket_, other.socket_);
  std::swap(listed_max_, other.listed_max_);
  std::swap(sequence_, other.sequence_);
  return *this;
}

Conntrack::~Conntrack() {
  if (socket_ != nullptr) mnl_socket_close(socket_);
}

int Conntrack::exchange(nlmsghdr* message, Parse parse, void* data) {
  message->nlmsg_seq = ++sequence_;
  if (mnl_socket_sendto(socket_, message, message->nlmsg_len) < 0) return errno;
  alignas(nlmsghdr) char answer[kReceiveBytes];
  for (;;) {
    const ssize_t count = mnl_socket_recvfrom(socket_, answer, sizeof answer);
    if (count < 0) return errno;
    const int state = mnl_cb_run(answer, static_cast<std::size_t>(count), sequence_,
                                 mnl_socket_get_portid(socket_), parse, data);
    if (state < 0) return errno;
    if (state == MNL_CB_STOP) return 0;
  }
}

struct Conntrack::Listing {
  const Condition& gone;
  std::vector<Handle> handles;
};

int Conntrack::parse(const nlmsghdr* header, void* data) {
  auto& listing = *static_cast<Listing*>(data);
  if (listing.gone(read_connection(header)))
    listing.handles.push_back(
        {static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(header))->nfgen_family,
         read_handle(header)});
  return MNL_CB_OK;
}

Status Conntrack::list(nlmsghdr* request, Listing& listing) {
  return outcome_of(exchange(request, parse, &listing), "list tracked connections", {});
}

Result<std::size_t> Conntrack::remove(const std::vector<Handle>& handles) {
  std::size_t removed = 0;
  for (const auto& handle : handles) {
    Message message(message_type(IPCTNL_MSG_CT_DELETE), 0);
    message.family<nfgenmsg>().nfgen_family = handle.family;
    message.append(handle.attributes);
    const int error = exchange(message.get(), nullptr, nullptr);
    ICON_CHECK(outcome_of(error, "forget a tracked connection", {ENOENT}));
    removed += error == 0;
  }
  return removed;
}

// A walk costs 7 ms at the usual size of the table, and what it brings up 1.5 us each. So few
// connections are all listed. Of many the kernel chooses, by one end of one tuple: a walk for each
// side. Its filter for IPv6 addresses lets everything pass but the address (5.8 to 6.18 at least):
// there all are listed. Before 5.8 there is no filter: so what comes is looked at in any case.
Result<std::size_t> Conntrack::erase(const std::set<Address>& addresses, Side side,
                                     const Condition& gone) {
  const Condition is_ours = [&](const TrackedConnection& connection) {
    return (addresses.contains(connection.answer_from.address) ||
            (side == Side::kBoth && addresses.contains(connection.from.address))) &&
           gone(connection);
  };
  if (connections_now() <= listed_max_) return erase(is_ours);
  Listing listing{is_ours, {}};
  for (const auto& address : addresses) {
    for (const bool answers : {true, false}) {
      if (!answers && (side == Side::kAnswers || !address.is_v4())) continue;
      Message request(message_type(IPCTNL_MSG_CT_GET), NLM_F_DUMP);
      request.family<nfgenmsg>().nfgen_family = family_of(address);
      if (address.is_v4()) put_filter(request, address, answers);
      ICON_CHECK(list(request.get(), listing));
    }
  }
  return remove(listing.handles);
}

Result<std::size_t> Conntrack::erase(const Condition& gone) {
  Listing listing{gone, {}};
  Message request(message_type(IPCTNL_MSG_CT_GET), NLM_F_DUMP);
  request.family<nfgenmsg>().nfgen_family = AF_UNSPEC;
  ICON_CHECK(list(request.get(), listing));
  return remove(listing.handles);
}

}  // namespace icon::net
