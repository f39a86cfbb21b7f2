#include "supervisor/tunnel/device.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sodium.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "supervisor/tunnel/tun.h"

namespace icon::tunnel {
namespace {

constexpr int kPacketsPerTurn = 64;  // of one kind, then the other descriptors are served
constexpr std::size_t kClientsMax = 4;
constexpr Millis kClientTimeout{2'000};
constexpr int kSocketBufferBytes = 4 << 20;
constexpr std::size_t kPacketBytesMax = 65'000;
constexpr int kPollMax = 60'000;
constexpr int kFixedDescriptors = 4;  // stop, interface, network, control

}  // namespace

Device::Device(DeviceOptions options, const Clock& clock)
    : options_(std::move(options)), clock_(clock) {}

Result<std::unique_ptr<Device>> Device::create(DeviceOptions options, const Clock& clock) {
  std::unique_ptr<Device> device(new Device(std::move(options), clock));
  ICON_TRY(device->tun_, open_tun(device->options_.interface, /*persistent=*/true));
  ICON_CHECK(device->listen_udp(0));
  ICON_CHECK(device->listen_control());
  return device;
}

Device::~Device() {
  if (control_) unlink(options_.socket_path.c_str());
}

Status Device::listen_udp(std::uint16_t port) {
  UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("create the tunnel's socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return fail_errno("listen on UDP port " + std::to_string(port));
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kSocketBufferBytes, sizeof kSocketBufferBytes);
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, &kSocketBufferBytes, sizeof kSocketBufferBytes);
  // The outer packet may be fragmented on a narrow path; the inner one keeps its own DF.
  const int fragment = IP_PMTUDISC_DONT;
  setsockopt(fd.get(), IPPROTO_IP, IP_MTU_DISCOVER, &fragment, sizeof fragment);
  socklen_t bytes = sizeof address;
  if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &bytes) != 0)
    return fail_errno("read the tunnel's port");
  udp_ = std::move(fd);
  port_ = ntohs(address.sin_port);
  return {};
}

Status Device::listen_control() {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("create the control socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (options_.socket_path.size() >= sizeof address.sun_path)
    return fail(Code::kInvalid, "control socket path is too long: " + options_.socket_path);
  std::copy(options_.socket_path.begin(), options_.socket_path.end(), address.sun_path);
  // We hold the interface: whoever left this file is gone.
  unlink(options_.socket_path.c_str());
  const mode_t before = umask(0177);
  const int bound = bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  umask(before);
  if (bound != 0 || listen(fd.get(), static_cast<int>(kClientsMax)) != 0)
    return fail_errno("listen on " + options_.socket_path);
  control_ = std::move(fd);
  return {};
}

void Device::send_datagram(std::span<const std::uint8_t> datagram) {
  if (address_bytes_ == 0) return;
  // Loss is what a network does: the inner protocols repeat.
  (void)!sendto(udp_.get(), datagram.data(), datagram.size(), 0,
                reinterpret_cast<const sockaddr*>(&address_), address_bytes_);
}

void Device::deliver_packet(std::span<const std::uint8_t> packet) {
  (void)!write(tun_.get(), packet.data(), packet.size());
}

bool Device::read_interface() {
  for (int i = 0; i < kPacketsPerTurn; ++i) {
    const ssize_t count = read(tun_.get(), buffer_.data() + kTransportHeaderBytes, kPacketBytesMax);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno == EAGAIN;
    if (peer_ && count > 0)
      peer_->on_packet(buffer_, static_cast<std::size_t>(count), clock_.steady(), clock_.utc_ms());
  }
  return true;
}

void Device::read_network() {
  for (int i = 0; i < kPacketsPerTurn; ++i) {
    const ssize_t count = recv(udp_.get(), buffer_.data(), buffer_.size(), 0);
    // An ICMP error of an earlier datagram: the next read has the next datagram.
    if (count < 0 && (errno == ECONNREFUSED || errno == EINTR)) continue;
    if (count < 0) return;
    if (peer_)
      peer_->on_datagram(std::span(buffer_).first(static_cast<std::size_t>(count)), clock_.steady(),
                         clock_.utc_ms());
  }
}

void Device::accept_client() {
  UniqueFd fd(accept4(control_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (fd && clients_.size() < kClientsMax) clients_.push_back({std::move(fd), {}, clock_.steady()});
}

bool Device::serve(Client& client) {
  char chunk[4096];
  const ssize_t count = read(client.fd.get(), chunk, sizeof chunk);
  if (count < 0) return errno == EAGAIN || errno == EINTR;
  if (count == 0) return false;
  client.request.reserve(kUapiBytesMax);
  client.request.append(chunk, static_cast<std::size_t>(count));
  sodium_memzero(chunk, sizeof chunk);
  bool keep = client.request.size() < kUapiBytesMax;
  if (const auto end = client.request.find("\n\n"); end != std::string::npos) {
    std::string text = answer(std::string_view(client.request).substr(0, end));
    // A few hundred bytes into an empty socket buffer.
    keep = send(client.fd.get(), text.data(), text.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(text.size());
    sodium_memzero(text.data(), text.size());
    sodium_memzero(client.request.data(), client.request.size());
    client.request.clear();
    client.begun = clock_.steady();
  }
  return keep;
}

std::string Device::answer(std::string_view request) {
  if (request.starts_with("get=1")) return format_get(state());
  const auto settings = parse_set(request);
  const auto status = settings ? apply(*settings) : Status(fail(settings.error()));
  if (status) return "errno=0\n\n";
  log::warn("tunnel.refused",
            {{"interface", options_.interface}, {"error", status.error().message}});
  return "errno=" + std::to_string(status.error().code == Code::kIo ? EADDRINUSE : EINVAL) + "\n\n";
}

Status Device::apply(const Settings& settings) {
  if (settings.listen_port && *settings.listen_port != port_)
    ICON_CHECK(listen_udp(*settings.listen_port));
  if (settings.private_key && (!has_key_ || *settings.private_key != key_.private_key)) {
    key_ = TunnelKeyPair::from_private(*settings.private_key);
    has_key_ = true;
    peer_.reset();
  }
  if (settings.replace_peers && !settings.peer) peer_.reset();
  if (settings.peer) return apply_peer(*settings.peer);
  return {};
}

Status Device::apply_peer(const PeerSettings& settings) {
  if (settings.remove) {
    if (peer_ && peer_->public_key() == settings.public_key) peer_.reset();
    return {};
  }
  if (!has_key_) return fail(Code::kInvalid, "tunnel control: a peer before the private key");
  if (settings.endpoint && !settings.endpoint->address.is_v4())
    return fail(Code::kInvalid, "tunnel control: the endpoint is not IPv4");
  const bool fresh = !peer_ || peer_->public_key() != settings.public_key;
  PeerSink& sink = *this;
  if (fresh) peer_ = std::make_unique<Peer>(key_, settings.public_key, sink);
  if (settings.endpoint) {
    endpoint_ = *settings.endpoint;
    address_bytes_ = endpoint_.address.to_sockaddr(endpoint_.port, address_);
  }
  if (settings.replace_allowed || fresh || !settings.allowed.empty()) {
    auto allowed = settings.replace_allowed ? std::vector<Prefix>{} : peer_->allowed();
    for (const auto& prefix : settings.allowed)
      if (std::find(allowed.begin(), allowed.end(), prefix) == allowed.end())
        allowed.push_back(prefix);
    if (allowed.size() > kAllowedMax) return fail(Code::kLimit, "too many allowed_ip");
    peer_->set_allowed(std::move(allowed));
  }
  if (settings.persistent_keepalive_s)
    peer_->set_persistent_keepalive(std::chrono::seconds(*settings.persistent_keepalive_s));
  if (address_bytes_ != 0) peer_->connect(clock_.steady(), clock_.utc_ms());
  return {};
}

DeviceState Device::state() const {
  DeviceState state;
  state.private_key = key_.private_key;
  state.listen_port = port_;
  state.has_peer = peer_ != nullptr;
  if (!peer_) return state;
  state.peer_key = peer_->public_key();
  state.endpoint = endpoint_;
  state.persistent_keepalive_s = static_cast<int>(peer_->persistent_keepalive().count() / 1000);
  state.allowed = peer_->allowed();
  state.last_handshake_ms = peer_->last_handshake_ms();
  state.counters = peer_->counters();
  return state;
}

int Device::poll_timeout_ms() const {
  SteadyTime next = peer_ ? peer_->deadline() : SteadyTime::max();
  for (const auto& client : clients_) next = std::min(next, client.begun + kClientTimeout);
  if (next == SteadyTime::max()) return kPollMax;
  const auto left = std::chrono::ceil<Millis>(next - clock_.steady()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, kPollMax));
}

Status Device::run(int stop_fd) {
  for (bool present = true; present;) {
    std::vector<pollfd> fds{{stop_fd, POLLIN, 0},
                            {tun_.get(), POLLIN, 0},
                            {udp_.get(), POLLIN, 0},
                            {control_.get(), POLLIN, 0}};
    for (const auto& client : clients_) fds.push_back({client.fd.get(), POLLIN, 0});
    const int ready = poll(fds.data(), fds.size(), poll_timeout_ms());
    if (ready < 0 && errno != EINTR) return fail_errno("poll");
    if (peer_ && clock_.steady() >= peer_->deadline())
      peer_->on_timer(clock_.steady(), clock_.utc_ms());
    if (ready <= 0) fds.assign(fds.size(), pollfd{-1, 0, 0});
    if (fds[0].revents != 0) break;
    if (fds[1].revents != 0) present = read_interface();
    if (fds[2].revents != 0) read_network();
    for (std::size_t i = 0; i + kFixedDescriptors < fds.size(); ++i)
      if (fds[i + kFixedDescriptors].revents != 0 && !serve(clients_[i])) clients_[i].fd.reset();
    std::erase_if(clients_, [&](const Client& client) {
      return !client.fd || clock_.steady() - client.begun >= kClientTimeout;
    });
    if (fds[3].revents != 0) accept_client();
  }
  // Deleted from outside, or gone with the descriptor now.
  (void)drop_persistence(tun_);
  return {};
}

}  // namespace icon::tunnel
