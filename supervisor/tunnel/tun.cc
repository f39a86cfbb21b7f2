#include "supervisor/tunnel/tun.h"

#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/log.h"

namespace icon::tunnel {
namespace {

// Linux 6.2; Debian's headers of 6.1 have no names for them.
constexpr unsigned kOffloadUdp4 = 0x20;
constexpr unsigned kOffloadUdp6 = 0x40;

// A burst becomes one datagram batch, which is at most 65,507 bytes with 32 more per packet: at the
// usual MTUs this leaves room for them.
constexpr std::uint32_t kBurstBytesMax = 62'000;

Result<UniqueFd> open_device(const std::string& name, int flags, bool persistent) {
  if (name.empty() || name.size() >= IFNAMSIZ)
    return fail(Code::kInvalid, "interface name '" + name + "' is empty or too long");
  UniqueFd fd(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
    return fail(Code::kUnavailable, "no /dev/net/tun: load the kernel's tun module");
  if (!fd) return fail_errno("open /dev/net/tun");
  ifreq request{};
  std::memcpy(request.ifr_name, name.data(), name.size());
  request.ifr_flags = static_cast<short>(IFF_TUN | IFF_NO_PI | flags);
  if (ioctl(fd.get(), TUNSETIFF, &request) != 0) {
    if (errno == EBUSY) return fail(Code::kConflict, "interface " + name + " is in use");
    return fail_errno("create interface " + name);
  }
  if (persistent && ioctl(fd.get(), TUNSETPERSIST, 1) != 0)
    return fail_errno("keep interface " + name);
  return fd;
}

// Only speed depends on it: bursts that are longer are sent as two batches.
Status limit_bursts(const std::string& name) {
  char buffer[256];
  nlmsghdr* message = mnl_nlmsg_put_header(buffer);
  message->nlmsg_type = RTM_NEWLINK;
  message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  auto* link = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg)));
  link->ifi_family = AF_UNSPEC;
  mnl_attr_put_strz(message, IFLA_IFNAME, name.c_str());
  mnl_attr_put_u32(message, IFLA_GSO_MAX_SIZE, kBurstBytesMax);
  mnl_socket* socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
  if (socket == nullptr) return fail_errno("rtnetlink");
  bool done = mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) == 0 &&
              mnl_socket_sendto(socket, message, message->nlmsg_len) >= 0;
  if (done) {
    const auto bytes = mnl_socket_recvfrom(socket, buffer, sizeof buffer);
    done = bytes > 0 && mnl_cb_run(buffer, static_cast<std::size_t>(bytes), 0,
                                   mnl_socket_get_portid(socket), nullptr, nullptr) >= 0;
  }
  const int error = errno;
  mnl_socket_close(socket);
  if (!done) return fail_errno("limit the bursts of " + name, error);
  return {};
}

}  // namespace

Result<UniqueFd> open_tun(const std::string& name, bool persistent) {
  return open_device(name, 0, persistent);
}

Result<OffloadedTun> open_offloaded_tun(const std::string& name, bool persistent) {
  OffloadedTun tun;
  ICON_TRY(tun.fd, open_device(name, IFF_VNET_HDR, persistent));
  const auto accepts = [&](unsigned features) {
    return ioctl(tun.fd.get(), TUNSETOFFLOAD, features) == 0;
  };
  constexpr unsigned kTcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
  if (accepts(kTcp | kOffloadUdp4 | kOffloadUdp6)) {
    tun.offload = {true, true};
  } else if (accepts(kTcp)) {
    tun.offload = {true, false};
  } else if (!accepts(0)) {
    return fail_errno("set what interface " + name + " leaves to us");
  }
  if (const auto status = limit_bursts(name); !status)
    log::warn("tunnel.bursts", {{"interface", name}, {"error", status.error().message}});
  return tun;
}

Status drop_persistence(const UniqueFd& tun) {
  if (ioctl(tun.get(), TUNSETPERSIST, 0) != 0) return fail_errno("let an interface go");
  return {};
}

std::size_t mtu_of(int socket, const std::string& name) {
  ifreq request{};
  std::memcpy(request.ifr_name, name.data(), std::min(name.size(), sizeof request.ifr_name - 1));
  if (ioctl(socket, SIOCGIFMTU, &request) != 0 || request.ifr_mtu < 0) return 0;
  return static_cast<std::size_t>(request.ifr_mtu);
}

}  // namespace icon::tunnel
