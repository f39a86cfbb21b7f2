// A server that is some way off: a relay on loopback, to which each request takes its time. One
// thread; what clients send is handed on when it has been under way for so long.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <list>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"

namespace icon::test {

class SlowRelay {
 public:
  // `url`: "http://127.0.0.1:PORT".
  SlowRelay(const std::string& url, Millis delay)
      : delay_(delay),
        to_(loopback(std::stoi(url.substr(url.rfind(':') + 1)))),
        listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
        stop_(eventfd(0, EFD_CLOEXEC)) {
    auto place = loopback(0);
    socklen_t size = sizeof place;
    auto* address = reinterpret_cast<sockaddr*>(&place);
    EXPECT_EQ(bind(listener_.get(), address, size), 0);
    EXPECT_EQ(listen(listener_.get(), 16), 0);
    EXPECT_EQ(getsockname(listener_.get(), address, &size), 0);
    url_ = "http://127.0.0.1:" + std::to_string(ntohs(place.sin_port));
    thread_ = std::thread([this] { run(); });
  }
  SlowRelay(const SlowRelay&) = delete;
  SlowRelay& operator=(const SlowRelay&) = delete;
  ~SlowRelay() {
    eventfd_write(stop_.get(), 1);
    thread_.join();
  }
  const std::string& url() const { return url_; }

 private:
  struct Piece {
    SteadyTime due;
    std::string bytes;
  };
  struct Connection {
    UniqueFd client;
    UniqueFd server;
    std::deque<Piece> under_way;  // to the server
  };

  static sockaddr_in loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }
  static bool pass(int fd, const std::string& bytes) {
    return send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }
  static std::string read_from(int fd) {
    std::string bytes(64 << 10, '\0');
    const auto size = recv(fd, bytes.data(), bytes.size(), 0);
    bytes.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return bytes;
  }

  void accept_one() {
    Connection connection;
    connection.client = UniqueFd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    connection.server = UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto* to = reinterpret_cast<const sockaddr*>(&to_);
    if (connect(connection.server.get(), to, sizeof to_) == 0)
      connections_.push_back(std::move(connection));
  }
  // False: one of the two has hung up.
  bool serve(Connection& connection, bool client_speaks, bool server_speaks) {
    const auto now = std::chrono::steady_clock::now();
    if (client_speaks) {
      auto bytes = read_from(connection.client.get());
      if (bytes.empty()) return false;
      connection.under_way.push_back({now + delay_, std::move(bytes)});
    }
    for (auto& pieces = connection.under_way; !pieces.empty() && pieces.front().due <= now;
         pieces.pop_front())
      if (!pass(connection.server.get(), pieces.front().bytes)) return false;
    if (!server_speaks) return true;
    const auto bytes = read_from(connection.server.get());
    return !bytes.empty() && pass(connection.client.get(), bytes);
  }
  int until_due() const {
    auto wait = Millis(60'000);
    for (const auto& connection : connections_)
      if (!connection.under_way.empty())
        wait = std::min(wait, std::chrono::ceil<Millis>(connection.under_way.front().due -
                                                        std::chrono::steady_clock::now()));
    return static_cast<int>(std::max<std::int64_t>(wait.count(), 0));
  }
  void run() {
    for (;;) {
      std::vector<pollfd> polled{{stop_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
      for (const auto& connection : connections_) {
        polled.push_back({connection.client.get(), POLLIN, 0});
        polled.push_back({connection.server.get(), POLLIN, 0});
      }
      poll(polled.data(), polled.size(), until_due());
      if (polled[0].revents != 0) return;
      std::size_t i = 2;
      for (auto one = connections_.begin(); one != connections_.end(); i += 2)
        one = serve(*one, polled[i].revents != 0, polled[i + 1].revents != 0)
                  ? std::next(one)
                  : connections_.erase(one);
      if (polled[1].revents != 0) accept_one();
    }
  }

  const Millis delay_;
  const sockaddr_in to_;
  UniqueFd listener_;
  UniqueFd stop_;
  std::string url_;
  std::list<Connection> connections_;
  std::thread thread_;
};

}  // namespace icon::test
