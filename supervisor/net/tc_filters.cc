#include "supervisor/net/tc_filters.h"

#include <libmnl/libmnl.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include <memory>

namespace icon::net {
namespace {

constexpr std::size_t kRequestBytes = 256;
constexpr std::size_t kAnswerBytes = 32 << 10;

int note_filter(const nlmsghdr* header, void* found) {
  if (header->nlmsg_type == RTM_NEWTFILTER) *static_cast<bool*>(found) = true;
  return MNL_CB_OK;
}

Status look(mnl_socket* socket, int interface, std::uint32_t parent, std::uint32_t sequence,
            bool& found) {
  alignas(nlmsghdr) char buffer[kRequestBytes]{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer);
  request->nlmsg_type = RTM_GETTFILTER;
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request->nlmsg_seq = sequence;
  auto* family = static_cast<tcmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(tcmsg)));
  family->tcm_family = AF_UNSPEC;
  family->tcm_ifindex = interface;
  family->tcm_parent = parent;
  if (mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
    return fail_errno("list packet filters");
  alignas(nlmsghdr) static thread_local char answer[kAnswerBytes];
  for (int state = MNL_CB_OK; state > MNL_CB_STOP;) {
    const ssize_t count = mnl_socket_recvfrom(socket, answer, sizeof answer);
    if (count < 0) return fail_errno("list packet filters");
    state = mnl_cb_run(answer, static_cast<std::size_t>(count), sequence,
                       mnl_socket_get_portid(socket), note_filter, &found);
    if (state < 0) return fail_errno("list packet filters");
  }
  return {};
}

}  // namespace

Result<bool> has_tc_filters(int interface) {
  const std::unique_ptr<mnl_socket, int (*)(mnl_socket*)> socket(
      mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC), mnl_socket_close);
  if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0)
    return fail_errno("open an rtnetlink socket");
  bool found = false;
  ICON_CHECK(look(socket.get(), interface, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS), 1, found));
  ICON_CHECK(look(socket.get(), interface, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS), 2, found));
  return found;
}

}  // namespace icon::net
