#include "supervisor/net/tunnel_kernel.h"

#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <functional>

#include "base/encoding.h"
#include "base/fd.h"
#include "base/log.h"
#include "supervisor/net/tunnel_kernel_messages.h"
#include "supervisor/tunnel/wg/noise.h"

namespace icon::net {
namespace {

constexpr int kKeepaliveSeconds = 10;
constexpr int kPortsTried = 1024;
constexpr std::size_t kAnswerBytesMax = 64 << 10;  // of one message; a dump has many

// One request, its answers, its end. The error is the kernel's errno, 0 for none.
class Netlink {
 public:
  using Answer = std::function<Status(std::span<const std::uint8_t>)>;

  static Result<Netlink> open(int bus) {
    Netlink netlink;
    netlink.socket_.reset(mnl_socket_open2(bus, SOCK_CLOEXEC));
    if (!netlink.socket_ || mnl_socket_bind(netlink.socket_.get(), 0, MNL_SOCKET_AUTOPID) != 0)
      return fail_errno("netlink");
    return netlink;
  }

  Result<int> ask(
      const NetlinkMessage& message,
      const Answer& answer = [](std::span<const std::uint8_t>) { return Status{}; }) {
    if (mnl_socket_sendto(socket_.get(), message.data(), message.size()) < 0)
      return fail_errno("ask netlink");
    std::vector<std::uint8_t> buffer(kAnswerBytesMax);
    struct Call {
      const Answer& answer;
      Status status;
    } call{answer, {}};
    const auto visit = [](const nlmsghdr* header, void* context) {
      auto& made = *static_cast<Call*>(context);
      made.status = made.answer({reinterpret_cast<const std::uint8_t*>(header), header->nlmsg_len});
      return made.status ? MNL_CB_OK : MNL_CB_ERROR;
    };
    int more = MNL_CB_OK;
    while (more == MNL_CB_OK) {
      const auto bytes = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
      if (bytes < 0) return fail_errno("netlink's answer");
      more = mnl_cb_run(buffer.data(), static_cast<std::size_t>(bytes), 0,
                        mnl_socket_get_portid(socket_.get()), visit, &call);
    }
    const int error = more < 0 ? errno : 0;
    tunnel::wg::wipe(buffer);
    if (!call.status) return fail(call.status.error());
    return error;
  }

 private:
  struct Close {
    void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
  };
  std::unique_ptr<mnl_socket, Close> socket_;
};

Result<int> ask_routes(const NetlinkMessage& message) {
  ICON_TRY(Netlink routes, Netlink::open(NETLINK_ROUTE));
  return routes.ask(message);
}

Result<std::uint16_t> wireguard_family(Netlink& generic) {
  std::uint16_t family = 0;
  ICON_TRY(int error, generic.ask(ask_wireguard_family(), [&](auto message) -> Status {
    ICON_TRY(family, read_family(message));
    return {};
  }));
  if (error != 0) return fail_errno("the kernel's WireGuard", error);
  return family;
}

class KernelTunnels final : public TunnelDevices {
 public:
  explicit KernelTunnels(std::uint16_t port_first) : port_first_(port_first) {}

  Result<TunnelStatus> open(const std::string& interface, const TunnelKey& private_key) override;
  Status set_peer(const std::string& interface, const std::string& public_key,
                  const Endpoint& endpoint) override;
  Result<TunnelStatus> status(const std::string& interface) override;
  Status close(const std::string& interface) override;

 private:
  Status apply(const std::string& interface, const tunnel::Settings& settings);
  Result<std::uint16_t> free_port() const;

  const std::uint16_t port_first_;
};

// The kernel binds the port when the interface is set up, too late to try the next one.
Result<std::uint16_t> KernelTunnels::free_port() const {
  for (int i = 0; i < kPortsTried; ++i) {
    if (port_first_ == 0) return std::uint16_t{0};
    const int port = port_first_ + i;
    if (port > 65'535) break;
    const UniqueFd probe(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_storage address{};
    const auto bytes = Address{}.to_sockaddr(static_cast<std::uint16_t>(port), address);
    if (bind(probe.get(), reinterpret_cast<sockaddr*>(&address), bytes) == 0)
      return static_cast<std::uint16_t>(port);
  }
  return fail(Code::kLimit, "no free UDP port for a tunnel from " + std::to_string(port_first_));
}

Status KernelTunnels::apply(const std::string& interface, const tunnel::Settings& settings) {
  ICON_TRY(Netlink generic, Netlink::open(NETLINK_GENERIC));
  ICON_TRY(std::uint16_t family, wireguard_family(generic));
  ICON_TRY(NetlinkMessage message, set_wireguard(family, interface, settings));
  auto refused = generic.ask(message);
  tunnel::wg::wipe(message);
  if (!refused) return fail(refused.error());
  if (*refused != 0) return fail_errno("configure WireGuard on " + interface, *refused);
  return {};
}

Result<TunnelStatus> KernelTunnels::open(const std::string& interface,
                                         const TunnelKey& private_key) {
  const tunnel::wg::Secret secret(private_key);
  auto present = status(interface);
  if (present && present->public_key == hex_encode(tunnel::wg::public_key_of(secret))) {
    log::info("tunnel.adopted", {{"interface", interface}});
    return present;
  }
  // Of another identity, or what a tunnel in user space has left.
  ICON_CHECK(close(interface));
  ICON_TRY(int error, ask_routes(new_wireguard_link(interface)));
  if (error != 0) return fail_errno("create " + interface, error);
  tunnel::Settings settings;
  settings.private_key = secret;
  ICON_TRY(settings.listen_port, free_port());
  ICON_CHECK(apply(interface, settings));
  ICON_TRY(TunnelStatus status, this->status(interface));
  log::info("tunnel.started", {{"interface", interface}, {"listen_port", status.listen_port}});
  return status;
}

Status KernelTunnels::set_peer(const std::string& interface, const std::string& public_key,
                               const Endpoint& endpoint) {
  if (endpoint.port == 0) return fail(Code::kInvalid, "a tunnel's endpoint without a port");
  tunnel::Settings settings;
  settings.replace_peers = true;
  tunnel::PeerSettings& peer = settings.peers.emplace_back();
  ICON_TRY(peer.public_key, tunnel::key_from_hex(public_key));
  peer.endpoint = endpoint;
  peer.persistent_keepalive_s = kKeepaliveSeconds;
  peer.replace_allowed_ips = true;
  peer.allowed_ips = {{Prefix::of(Address{}, 0), false}, {Prefix::of(Address::v6({}), 0), false}};
  return apply(interface, settings);
}

Result<TunnelStatus> KernelTunnels::status(const std::string& interface) {
  ICON_TRY(Netlink generic, Netlink::open(NETLINK_GENERIC));
  ICON_TRY(std::uint16_t family, wireguard_family(generic));
  tunnel::TunnelState state;
  ICON_TRY(int missing, generic.ask(get_wireguard(family, interface),
                                    [&](auto message) { return read_wireguard(message, state); }));
  if (missing != 0) return fail_errno("WireGuard interface " + interface, missing);
  TunnelStatus status;
  status.listen_port = state.listen_port;
  status.public_key = hex_encode(tunnel::wg::public_key_of(state.private_key));
  if (state.peers.empty()) return status;
  const auto& peer = state.peers.front();
  status.peer_public_key = hex_encode(peer.public_key);
  status.peer_endpoint = peer.endpoint.value_or(Endpoint{});
  status.last_handshake_ms = peer.last_handshake_ms;
  status.rx_bytes = peer.rx_bytes;
  status.tx_bytes = peer.tx_bytes;
  return status;
}

Status KernelTunnels::close(const std::string& interface) {
  ICON_TRY(int error, ask_routes(delete_link(interface)));
  if (error != 0 && error != ENODEV) return fail_errno("delete " + interface, error);
  return {};
}

}  // namespace

Result<bool> kernel_has_wireguard() {
  const std::string name = "icwg" + std::to_string(getpid());
  ICON_TRY(int error, ask_routes(new_wireguard_link(name)));
  if (error == EOPNOTSUPP || error == ENODEV) return false;
  if (error != 0) return fail_errno("try a WireGuard link", error);
  ICON_TRY(int left, ask_routes(delete_link(name)));
  if (left != 0) return fail_errno("delete " + name, left);
  return true;
}

std::unique_ptr<TunnelDevices> make_kernel_tunnels(std::uint16_t port_first) {
  return std::make_unique<KernelTunnels>(port_first);
}

std::unique_ptr<TunnelDevices> make_tunnel_devices(IoContext& loop, TunnelProcessOptions options) {
  const bool limited = options.limit.bits_per_second != 0 || options.limit.packets_per_second != 0;
  const auto has_kernel = kernel_has_wireguard();
  const bool kernel = !limited && has_kernel && *has_kernel;
  log::info("tunnel.backend", {{"backend", kernel ? "kernel" : "icon-tunnel"}});
  if (kernel) return make_kernel_tunnels(options.port_first);
  return make_tunnel_processes(loop, std::move(options));
}

}  // namespace icon::net
