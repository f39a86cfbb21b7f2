#include "tests/netns/net_sockets.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <utility>

#include "base/netns.h"

namespace icon::net::test {

std::string prefix() { return "net" + std::to_string(getpid()) + "-"; }

CommandOutcome shell(const std::string& netns, const std::string& command) {
  std::vector<std::string> argv{"/bin/sh", "-c", command};
  if (!netns.empty()) argv.insert(argv.begin(), {"nsenter", "--net=/run/netns/" + netns});
  Command command_line;
  command_line.argv = std::move(argv);
  auto outcome = run_command_blocking(std::move(command_line));
  if (!outcome) return {127, "", outcome.error().message};
  return *outcome;
}

void must(const std::string& netns, const std::string& command) {
  const auto outcome = shell(netns, command);
  ASSERT_TRUE(outcome.ok()) << command << ": " << outcome.error_output;
}

NetnsThread::NetnsThread(const std::string& netns)
    : guard_(boost::asio::make_work_guard(loop_)), thread_([this, netns] {
        auto fd = open_netns(netns);
        if (!fd || setns(fd->get(), CLONE_NEWNET) != 0) abort();
        loop_.run();
      }) {}

NetnsThread::~NetnsThread() {
  guard_.reset();
  loop_.stop();
  thread_.join();
}

void NetnsThread::perform(const std::function<void()>& work) {
  std::packaged_task<void()> task(work);
  auto done = task.get_future();
  boost::asio::post(loop_, [&task] { task(); });
  done.get();
}

Endpoint endpoint(const std::string& text) { return *Endpoint::parse(text); }

Socket::Socket(int type, int family) : fd_(socket(family, type | SOCK_CLOEXEC, 0)) {
  const timeval limit{5, 0};
  setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  const int one = 1;
  setsockopt(fd_.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
}

bool Socket::bind_to(const Endpoint& local) {
  sockaddr_storage storage{};
  const auto bytes = local.address.to_sockaddr(local.port, storage);
  return bind(fd(), reinterpret_cast<sockaddr*>(&storage), bytes) == 0;
}

bool Socket::connect_to(const Endpoint& remote) {
  sockaddr_storage storage{};
  const auto bytes = remote.address.to_sockaddr(remote.port, storage);
  return connect(fd(), reinterpret_cast<sockaddr*>(&storage), bytes) == 0;
}

std::uint16_t Socket::local_port() const {
  sockaddr_storage storage{};
  socklen_t bytes = sizeof storage;
  getsockname(fd(), reinterpret_cast<sockaddr*>(&storage), &bytes);
  return ntohs(reinterpret_cast<sockaddr_in*>(&storage)->sin_port);
}

bool Socket::say(const std::string& text) {
  return send(fd(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

std::string Socket::hear(std::size_t bytes) {
  std::string text(bytes, '\0');
  std::size_t done = 0;
  while (done < bytes) {
    const ssize_t count = recv(fd(), text.data() + done, bytes - done, 0);
    if (count <= 0) break;
    done += static_cast<std::size_t>(count);
  }
  text.resize(done);
  return text;
}

std::string Socket::hear_datagram() {
  std::string text(65'536, '\0');
  const ssize_t count = recv(fd(), text.data(), text.size(), 0);
  text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return text;
}

// Whoever says more than the buffers on the way hold, and does not hear meanwhile, waits for an
// echo that waits for him.
bool Socket::echoes(const std::string& text) {
  constexpr std::size_t kPiece = 32'768;
  for (std::size_t at = 0; at < text.size(); at += kPiece) {
    const std::string piece = text.substr(at, kPiece);
    if (!say(piece) || hear(piece.size()) != piece) return false;
  }
  return true;
}

bool Socket::silent_for(Millis time) {
  pollfd poll_fd{fd(), POLLIN, 0};
  return poll(&poll_fd, 1, static_cast<int>(time.count())) == 0;
}

EchoService::EchoService(UniqueFd netns) : netns_(std::move(netns)), thread_([this] { run(); }) {
  ready_.get_future().wait();
}

EchoService::~EchoService() {
  stop_ = true;
  thread_.join();
}

void EchoService::shout(const std::string& text) {
  std::promise<void> done;
  {
    const std::lock_guard lock(mutex_);
    shout_ = text;
    shouted_ = &done;
  }
  done.get_future().wait();
}

void EchoService::answer_datagrams_with(const std::string& text) {
  const std::lock_guard lock(mutex_);
  answer_ = text;
}

std::string EchoService::netns_file() const {
  return "/proc/" + std::to_string(getpid()) + "/task/" + std::to_string(thread_id_) + "/ns/net";
}

std::vector<std::string> EchoService::peers() const {
  const std::lock_guard lock(mutex_);
  return peers_;
}

void EchoService::run() {
  if (setns(netns_.get(), CLONE_NEWNET) != 0) abort();
  Socket listener(SOCK_STREAM, AF_INET6);
  Socket datagrams(SOCK_DGRAM, AF_INET6);
  if (!listener.bind_to(endpoint("[::]:80")) || listen(listener.fd(), 64) != 0 ||
      !datagrams.bind_to(endpoint("[::]:80")))
    abort();
  thread_id_ = gettid();
  ready_.set_value();
  std::vector<UniqueFd> connections;
  char buffer[65536];
  while (!stop_) {
    std::vector<pollfd> fds{{listener.fd(), POLLIN, 0}, {datagrams.fd(), POLLIN, 0}};
    for (const auto& connection : connections) fds.push_back({connection.get(), POLLIN, 0});
    poll(fds.data(), fds.size(), 5);
    for (std::size_t i = 2; i < fds.size(); ++i) {
      if (fds[i].revents == 0) continue;
      const ssize_t count = recv(fds[i].fd, buffer, sizeof buffer, 0);
      if (count <= 0) connections[i - 2].reset();
      for (ssize_t done = 0; done < count;)
        if (const ssize_t sent = send(fds[i].fd, buffer + done,
                                      static_cast<std::size_t>(count - done), MSG_NOSIGNAL);
            sent > 0)
          done += sent;
        else
          break;
    }
    std::erase_if(connections, [](const UniqueFd& fd) { return !fd; });
    if (fds[0].revents != 0) accept_one(listener.fd(), connections);
    if (fds[1].revents != 0) echo_datagram(datagrams.fd(), buffer, sizeof buffer);
    const std::lock_guard lock(mutex_);
    if (shouted_ == nullptr) continue;
    for (const auto& connection : connections)
      (void)!send(connection.get(), shout_.data(), shout_.size(), MSG_NOSIGNAL);
    std::exchange(shouted_, nullptr)->set_value();
  }
}

void EchoService::accept_one(int listener, std::vector<UniqueFd>& connections) {
  sockaddr_storage storage{};
  socklen_t bytes = sizeof storage;
  UniqueFd fd(accept4(listener, reinterpret_cast<sockaddr*>(&storage), &bytes, SOCK_CLOEXEC));
  if (!fd) return;
  const std::lock_guard lock(mutex_);
  if (auto peer = Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage)))
    peers_.push_back(peer->to_string());
  connections.push_back(std::move(fd));
}

void EchoService::echo_datagram(int fd, char* buffer, std::size_t room) {
  sockaddr_storage from{};
  socklen_t bytes = sizeof from;
  const ssize_t count = recvfrom(fd, buffer, room, 0, reinterpret_cast<sockaddr*>(&from), &bytes);
  if (count < 0) return;
  const std::lock_guard lock(mutex_);
  const std::string text =
      answer_.empty() ? std::string(buffer, static_cast<std::size_t>(count)) : answer_;
  (void)!sendto(fd, text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&from), bytes);
}

}  // namespace icon::net::test
