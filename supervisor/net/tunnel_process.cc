#include "supervisor/net/tunnel_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>

#include "base/encoding.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "base/subprocess.h"
#include "supervisor/tunnel/device_control.h"
#include "supervisor/tunnel/tun.h"
#include "supervisor/tunnel/uapi.h"
#include "supervisor/tunnel/wg/noise.h"

namespace icon::net {
namespace {

constexpr Millis kStartTimeout{5'000};
constexpr Millis kStopTimeout{2'000};
constexpr timeval kAnswerTimeout{1, 0};
constexpr int kKeepaliveSeconds = 10;
constexpr int kPortsTried = 1024;
constexpr std::size_t kLogBytesRead = 1 << 20;
constexpr Millis kRestartFirst{50};
constexpr Millis kRestartMax{10'000};
constexpr Millis kStable{60'000};  // lived that long: the next restart is a first one again

class ControlSocket {
 public:
  static Result<ControlSocket> connect(const std::string& path) {
    ControlSocket control;
    control.fd_.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (!control.fd_ || path.size() >= sizeof address.sun_path)
      return fail(Code::kInvalid, "control socket path is too long: " + path);
    std::copy(path.begin(), path.end(), address.sun_path);
    setsockopt(control.fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &kAnswerTimeout, sizeof kAnswerTimeout);
    setsockopt(control.fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &kAnswerTimeout, sizeof kAnswerTimeout);
    if (::connect(control.fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      return fail_errno("connect to " + path);
    return control;
  }
  // Who listens there.
  int pid() const {
    ucred peer{};
    socklen_t bytes = sizeof peer;
    if (getsockopt(fd_.get(), SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0) return -1;
    return peer.pid;
  }
  // The answer up to its empty line.
  Result<std::string> ask(const std::string& request) {
    if (send(fd_.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(request.size()))
      return fail_errno("ask the tunnel");
    std::string answer;
    answer.reserve(tunnel::kUapiBytesMax);
    while (!answer.ends_with("\n\n")) {
      if (answer.size() >= tunnel::kUapiBytesMax)
        return fail(Code::kLimit, "the tunnel's answer is too long");
      char chunk[4096];
      const ssize_t count = recv(fd_.get(), chunk, sizeof chunk, 0);
      if (count < 0) return fail_errno("the tunnel's answer");
      if (count == 0) return fail(Code::kIo, "the tunnel closed its control socket");
      answer.append(chunk, static_cast<std::size_t>(count));
    }
    return answer;
  }

 private:
  UniqueFd fd_;
};

// What a restarted process is given again. Not secret.
struct Remembered {
  std::uint16_t listen_port = 0;
  std::string peer_public_key;
  Endpoint peer_endpoint;
};

class TunnelProcesses final : public TunnelDevices {
 public:
  TunnelProcesses(IoContext& loop, TunnelProcessOptions options)
      : loop_(loop), options_(std::move(options)) {}
  ~TunnelProcesses() override {
    for (auto& [name, process] : processes_) tunnel::wg::wipe(process.key);
  }

  Result<TunnelStatus> open(const std::string& interface, const TunnelKey& private_key) override;
  Status set_peer(const std::string& interface, const std::string& public_key,
                  const Endpoint& endpoint) override;
  Result<TunnelStatus> status(const std::string& interface) override;
  Status close(const std::string& interface) override;

 private:
  struct Process {
    TunnelKey key{};
    int pid = -1;
    std::unique_ptr<boost::asio::posix::stream_descriptor> ended;  // a pidfd
    std::unique_ptr<boost::asio::steady_timer> restart;
    Millis pause = kRestartFirst;
    SteadyTime started;
  };

  std::string path(const std::string& interface, const char* suffix) const {
    return options_.directory + "/" + interface + suffix;
  }
  Result<TunnelStatus> start(const std::string& interface, Process& process);
  std::string last_words(const std::string& interface) const;
  Status configure(const std::string& interface, const TunnelKey& key);
  Status choose_port(const std::string& interface, std::uint16_t remembered);
  void watch(const std::string& interface, Process& process);
  void on_end(const std::string& interface);
  void restart_later(const std::string& interface, Process& process);
  // SIGTERM, then SIGKILL to whoever listens on the control socket, else to `pid`.
  void end_process(const std::string& interface, int pid) const;
  Remembered recall(const std::string& interface) const;
  Status remember(const std::string& interface, const Remembered& remembered) const;
  Status tell(const std::string& interface, std::string request);

  IoContext& loop_;
  TunnelProcessOptions options_;
  std::map<std::string, Process> processes_;
};

Remembered TunnelProcesses::recall(const std::string& interface) const {
  Remembered remembered;
  const auto text = read_file(path(interface, ".conf"), tunnel::kUapiBytesMax);
  if (!text) return remembered;
  const auto state = tunnel::parse_get(*text);
  if (!state) return remembered;
  remembered.listen_port = state->listen_port;
  if (!state->peers.empty()) {
    const auto& peer = state->peers.front();
    remembered.peer_public_key = hex_encode(peer.public_key);
    remembered.peer_endpoint = peer.endpoint.value_or(Endpoint{});
  }
  return remembered;
}

Status TunnelProcesses::remember(const std::string& interface, const Remembered& remembered) const {
  std::string text = "listen_port=" + std::to_string(remembered.listen_port) + "\n";
  if (!remembered.peer_public_key.empty())
    text += "public_key=" + remembered.peer_public_key +
            "\nendpoint=" + remembered.peer_endpoint.to_string() + "\n";
  return write_file_atomic(path(interface, ".conf"), text, 0600);
}

Status TunnelProcesses::tell(const std::string& interface, std::string request) {
  auto control = ControlSocket::connect(path(interface, ".sock"));
  auto answer = control ? control->ask("set=1\n" + request + "\n")
                        : Result<std::string>(fail(control.error()));
  tunnel::wipe_text(request);
  if (!answer) return fail(answer.error());
  if (*answer != "errno=0\n\n")
    return fail(Code::kInvalid, "tunnel " + interface + " refuses its settings: " +
                                    answer->substr(0, answer->find('\n')));
  return {};
}

Status TunnelProcesses::configure(const std::string& interface, const TunnelKey& key) {
  const Remembered remembered = recall(interface);
  std::string secret = hex_encode(key);
  const auto keyed = tell(interface, "private_key=" + secret + "\n");
  tunnel::wipe_text(secret);
  ICON_CHECK(keyed);
  ICON_CHECK(choose_port(interface, remembered.listen_port));
  if (remembered.peer_public_key.empty()) return {};
  return set_peer(interface, remembered.peer_public_key, remembered.peer_endpoint);
}

Status TunnelProcesses::choose_port(const std::string& interface, std::uint16_t remembered) {
  const auto listen = [&](int port) {
    return tell(interface, "listen_port=" + std::to_string(port) + "\n");
  };
  if (remembered != 0) {
    const auto status = listen(remembered);
    if (status) return {};
    // Somebody else has taken it meanwhile; the peer learns the new one when it asks.
    log::warn("tunnel.port", {{"interface", interface}, {"error", status.error().message}});
  }
  if (options_.port_first == 0) return {};
  const int end = std::min(options_.port_first + kPortsTried, 65'536);
  for (int port = options_.port_first; port < end; ++port)
    if (listen(port)) return {};
  return fail(Code::kLimit,
              "no free UDP port for a tunnel from " + std::to_string(options_.port_first) + " on");
}

// Why it has ended, as it said itself.
std::string TunnelProcesses::last_words(const std::string& interface) const {
  auto text = read_file(path(interface, ".log"), kLogBytesRead);
  while (text && text->ends_with('\n')) text->pop_back();
  if (!text || text->empty()) return "it has said nothing";
  const auto end_before = text->rfind('\n');
  return end_before == std::string::npos ? *text : text->substr(end_before + 1);
}

Result<TunnelStatus> TunnelProcesses::start(const std::string& interface, Process& process) {
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) != 0) return fail_errno("pipe");
  UniqueFd ready_read(ready[0]);
  UniqueFd ready_write(ready[1]);
  ChildProcess::Options options;
  options.argv = {
      options_.program, "--interface",           interface,    "--socket", path(interface, ".sock"),
      "--log",          path(interface, ".log"), "--ready-fd", "3"};
  if (options_.publish) options.argv.push_back("--publish");
  options.inherit = {{ready_write.get(), 3}};
  options.die_with_parent = false;
  options.new_session = true;
  ICON_TRY(ChildProcess child, ChildProcess::start(std::move(options)));
  ready_write.reset();
  pollfd wait{ready_read.get(), POLLIN, 0};
  char byte = 0;
  const int polled = poll(&wait, 1, static_cast<int>(kStartTimeout.count()));
  if (polled == 0) return fail(Code::kTimeout, "tunnel " + interface + " does not start");
  if (polled < 0 || read(ready_read.get(), &byte, 1) != 1)
    return fail(Code::kIo, "tunnel " + interface + " ended at once: " + last_words(interface));
  // An error from here on ends the child again: it is ours until released.
  ICON_CHECK(configure(interface, process.key));
  process.pid = child.release();
  process.started = std::chrono::steady_clock::now();
  watch(interface, process);
  ICON_TRY(TunnelStatus status, this->status(interface));
  Remembered remembered = recall(interface);
  remembered.listen_port = status.listen_port;
  ICON_CHECK(remember(interface, remembered));
  log::info("tunnel.started",
            {{"interface", interface}, {"pid", process.pid}, {"listen_port", status.listen_port}});
  return status;
}

void TunnelProcesses::watch(const std::string& interface, Process& process) {
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0));
  if (pidfd < 0) return restart_later(interface, process);
  process.ended = std::make_unique<boost::asio::posix::stream_descriptor>(loop_, pidfd);
  process.ended->async_wait(boost::asio::posix::stream_descriptor::wait_read,
                            [this, interface](boost::system::error_code error) {
                              if (!error) on_end(interface);
                            });
}

void TunnelProcesses::on_end(const std::string& interface) {
  const auto found = processes_.find(interface);
  if (found == processes_.end()) return;
  Process& process = found->second;
  waitpid(process.pid, nullptr, WNOHANG);  // when it was our child
  log::warn("tunnel.ended", {{"interface", interface}, {"pid", process.pid}});
  process.pid = -1;
  process.ended.reset();
  if (std::chrono::steady_clock::now() - process.started > kStable) process.pause = kRestartFirst;
  restart_later(interface, process);
}

void TunnelProcesses::restart_later(const std::string& interface, Process& process) {
  process.restart = std::make_unique<boost::asio::steady_timer>(loop_, process.pause);
  process.pause = std::min(process.pause * 2, kRestartMax);
  process.restart->async_wait([this, interface](boost::system::error_code error) {
    const auto found = processes_.find(interface);
    if (error || found == processes_.end()) return;
    const auto status = start(interface, found->second);
    if (status) return;
    log::warn("tunnel.restart", {{"interface", interface}, {"error", status.error().message}});
    restart_later(interface, found->second);
  });
}

Result<TunnelStatus> TunnelProcesses::open(const std::string& interface,
                                           const TunnelKey& private_key) {
  if (const auto known = processes_.find(interface); known != processes_.end()) {
    if (known->second.pid < 0) return start(interface, known->second);
    return status(interface);
  }
  auto adopted = status(interface);
  Process& process = processes_[interface];
  process.key = private_key;
  const auto expected = hex_encode(tunnel::wg::public_key_of(tunnel::wg::Secret(private_key)));
  if (adopted && adopted->public_key == expected) {
    process.pid = adopted->pid;
    process.started = std::chrono::steady_clock::now();
    watch(interface, process);
    log::info("tunnel.adopted", {{"interface", interface}, {"pid", process.pid}});
    return adopted;
  }
  // Of another identity, or it does not answer: the interface is in its hands.
  end_process(interface, -1);
  auto started = start(interface, process);
  if (!started) processes_.erase(interface);
  return started;
}

Status TunnelProcesses::set_peer(const std::string& interface, const std::string& public_key,
                                 const Endpoint& endpoint) {
  ICON_CHECK(tunnel::key_from_hex(public_key));
  if (endpoint.port == 0) return fail(Code::kInvalid, "a tunnel's endpoint without a port");
  ICON_CHECK(tell(interface,
                  "replace_peers=true\npublic_key=" + public_key +
                      "\nendpoint=" + endpoint.to_string() +
                      "\npersistent_keepalive_interval=" + std::to_string(kKeepaliveSeconds) +
                      "\nicon_rate_bits=" + std::to_string(options_.limit.bits_per_second) +
                      "\nicon_rate_packets=" + std::to_string(options_.limit.packets_per_second) +
                      "\nreplace_allowed_ips=true\nallowed_ip=0.0.0.0/0\nallowed_ip=::/0\n"));
  Remembered remembered = recall(interface);
  remembered.peer_public_key = public_key;
  remembered.peer_endpoint = endpoint;
  return remember(interface, remembered);
}

Result<TunnelStatus> TunnelProcesses::status(const std::string& interface) {
  ICON_TRY(ControlSocket control, ControlSocket::connect(path(interface, ".sock")));
  ICON_TRY(std::string text, control.ask("get=1\n\n"));
  auto state = tunnel::parse_get(text);
  tunnel::wipe_text(text);
  if (!state) return fail(state.error());
  TunnelStatus status;
  status.pid = control.pid();
  status.listen_port = state->listen_port;
  status.public_key = hex_encode(tunnel::wg::public_key_of(state->private_key));
  if (!state->peers.empty()) {
    const auto& peer = state->peers.front();
    status.peer_public_key = hex_encode(peer.public_key);
    status.peer_endpoint = peer.endpoint.value_or(Endpoint{});
    status.last_handshake_ms = peer.last_handshake_ms;
    status.rx_bytes = peer.rx_bytes;
    status.tx_bytes = peer.tx_bytes;
  }
  for (const auto& [reason, count] : state->drops) status.dropped_packets += count;
  return status;
}

void TunnelProcesses::end_process(const std::string& interface, int pid) const {
  if (const auto control = ControlSocket::connect(path(interface, ".sock"))) pid = control->pid();
  if (pid <= 0) return;
  UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd) return;
  pollfd ended{pidfd.get(), POLLIN, 0};
  kill(pid, SIGTERM);
  if (poll(&ended, 1, static_cast<int>(kStopTimeout.count())) == 0) {
    kill(pid, SIGKILL);
    poll(&ended, 1, static_cast<int>(kStopTimeout.count()));
  }
  waitpid(pid, nullptr, WNOHANG);  // when it was our child
}

Status TunnelProcesses::close(const std::string& interface) {
  int pid = -1;
  if (const auto known = processes_.find(interface); known != processes_.end()) {
    pid = known->second.pid;
    tunnel::wg::wipe(known->second.key);
    processes_.erase(known);
  }
  end_process(interface, pid);
  // Killed or crashed, it has left the interface behind: take it over and let it go.
  if (const auto tun = tunnel::open_tun(interface, /*persistent=*/false))
    (void)tunnel::drop_persistence(*tun);
  tunnel::unpublish(interface, path(interface, ".sock"));
  for (const char* suffix : {".sock", ".conf", ".log"}) unlink(path(interface, suffix).c_str());
  return {};
}

}  // namespace

std::unique_ptr<TunnelDevices> make_tunnel_processes(IoContext& loop,
                                                     TunnelProcessOptions options) {
  return std::make_unique<TunnelProcesses>(loop, std::move(options));
}

}  // namespace icon::net
