#include "supervisor/tunnel/device_control.h"

#include <sodium.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/log.h"
#include "supervisor/tunnel/uapi.h"

namespace icon::tunnel {
namespace {

constexpr std::size_t kReadBytes = 4096;

// Whether somebody listens there.
bool is_alive(const std::string& path) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (!fd || path.size() >= sizeof address.sun_path) return false;
  std::copy(path.begin(), path.end(), address.sun_path);
  return connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ||
         errno == EAGAIN;
}

std::string link_of(const std::string& interface) {
  return std::string(kWireGuardDirectory) + "/" + interface + ".sock";
}

}  // namespace

void unpublish(const std::string& interface, const std::string& socket_path) {
  const std::string link = link_of(interface);
  std::array<char, sizeof(sockaddr_un::sun_path)> target;
  const ssize_t bytes = readlink(link.c_str(), target.data(), target.size());
  if (bytes > 0 && std::string_view(target.data(), static_cast<std::size_t>(bytes)) == socket_path)
    unlink(link.c_str());
}

ControlServer::Client::~Client() {
  wipe_text(request);
  wipe_text(answer);
}

Result<std::unique_ptr<ControlServer>> ControlServer::create(const std::string& path,
                                                             const Clock& clock, Handler handler) {
  std::unique_ptr<ControlServer> server(new ControlServer(clock, std::move(handler)));
  server->events_.reset(epoll_create1(EPOLL_CLOEXEC));
  if (!server->events_) return fail_errno("epoll");
  ICON_CHECK(server->listen(path));
  return server;
}

ControlServer::~ControlServer() {
  unpublish(interface_, path_);
  if (!path_.empty()) unlink(path_.c_str());
}

Status ControlServer::listen(const std::string& path) {
  // wg's own directory may not exist yet.
  if (path.starts_with(kWireGuardDirectory)) (void)mkdir(kWireGuardDirectory, 0700);
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("create the control socket");
  // wg unlinks a socket that refuses it, as one does between bind and listen: it gets its name when
  // it listens.
  const std::string unnamed = path + "~";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (unnamed.size() >= sizeof address.sun_path)
    return fail(Code::kInvalid, "control socket path is too long: " + path);
  std::copy(unnamed.begin(), unnamed.end(), address.sun_path);
  unlink(unnamed.c_str());
  const mode_t before = umask(0177);
  const int bound = bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  umask(before);
  if (bound != 0 || ::listen(fd.get(), static_cast<int>(kClientsMax)) != 0 ||
      rename(unnamed.c_str(), path.c_str()) != 0)
    return fail_errno("listen on " + path);
  path_ = path;
  epoll_event event{EPOLLIN, {.fd = fd.get()}};
  if (epoll_ctl(events_.get(), EPOLL_CTL_ADD, fd.get(), &event) != 0) return fail_errno("epoll");
  listener_ = std::move(fd);
  return {};
}

// Interfaces of several namespaces may share a name; the first has the link.
void ControlServer::publish(const std::string& interface) {
  interface_ = interface;
  const std::string link = link_of(interface);
  if (link == path_) return;
  if (mkdir(kWireGuardDirectory, 0700) != 0 && errno != EEXIST) return;
  if (symlink(path_.c_str(), link.c_str()) != 0) {
    if (errno != EEXIST || is_alive(link)) return;
    unlink(link.c_str());
    (void)!symlink(path_.c_str(), link.c_str());
  }
}

SteadyTime ControlServer::deadline() const {
  SteadyTime first = SteadyTime::max();
  for (const auto& client : clients_) first = std::min(first, client->begun + kClientTimeout);
  return first;
}

void ControlServer::serve() {
  std::array<epoll_event, kClientsMax + 1> events{};
  const int count = epoll_wait(events_.get(), events.data(), static_cast<int>(events.size()), 0);
  bool accept = false;
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    accept = accept || event.data.fd == listener_.get();
    const auto client =
        std::ranges::find(clients_, event.data.fd, [](const auto& each) { return each->fd.get(); });
    if (client == clients_.end()) continue;
    const bool keep = (*client)->answer.empty() ? read_request(**client) : write_answer(**client);
    if (!keep) clients_.erase(client);
  }
  const SteadyTime now = clock_.steady();
  std::erase_if(clients_,
                [&](const auto& client) { return now - client->begun >= kClientTimeout; });
  if (accept) accept_client();
}

void ControlServer::accept_client() {
  UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!fd || clients_.size() >= kClientsMax) return;
  epoll_event event{EPOLLIN, {.fd = fd.get()}};
  if (epoll_ctl(events_.get(), EPOLL_CTL_ADD, fd.get(), &event) != 0) return;
  auto client = std::make_unique<Client>();
  client->fd = std::move(fd);
  client->begun = clock_.steady();
  clients_.push_back(std::move(client));
}

bool ControlServer::read_request(Client& client) {
  std::array<char, kReadBytes> chunk;
  const ssize_t count = read(client.fd.get(), chunk.data(), chunk.size());
  if (count < 0) return errno == EAGAIN || errno == EINTR;
  if (count == 0) return false;
  // Growing leaves no copy of a key behind: the old room is wiped.
  if (client.request.size() + chunk.size() > client.request.capacity()) {
    std::string larger;
    larger.reserve(client.request.capacity() * 2 + chunk.size());
    larger = client.request;
    wipe_text(client.request);
    client.request = std::move(larger);
  }
  client.request.append(chunk.data(), static_cast<std::size_t>(count));
  sodium_memzero(chunk.data(), chunk.size());
  const auto end = client.request.find("\n\n");
  if (end == std::string::npos) return client.request.size() < kUapiBytesMax;
  client.answer = handler_(std::string_view(client.request).substr(0, end));
  client.answered = 0;
  wipe_text(client.request);
  client.request.clear();
  client.begun = clock_.steady();
  return write_answer(client);
}

bool ControlServer::write_answer(Client& client) {
  const std::string_view rest = std::string_view(client.answer).substr(client.answered);
  const ssize_t count = send(client.fd.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
  if (count < 0 && errno != EAGAIN && errno != EINTR) return false;
  if (count > 0) client.answered += static_cast<std::size_t>(count);
  const bool done = client.answered == client.answer.size();
  if (done) {
    wipe_text(client.answer);
    client.answer.clear();
  }
  epoll_event event{done ? EPOLLIN : EPOLLOUT, {.fd = client.fd.get()}};
  return epoll_ctl(events_.get(), EPOLL_CTL_MOD, client.fd.get(), &event) == 0;
}

}  // namespace icon::tunnel
