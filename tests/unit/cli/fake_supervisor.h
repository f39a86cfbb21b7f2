// A supervisor that plays canned answers on a unix socket, one connection after the other, and
// remembers what it was asked.
#pragma once

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"

namespace icon::cli {

class FakeSupervisor {
 public:
  FakeSupervisor() {
    char path[] = "/tmp/iccli.XXXXXX";
    directory_ = mkdtemp(path);
    listener_.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    socket_path().copy(address.sun_path, sizeof address.sun_path - 1);
    if (bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        listen(listener_.get(), 16) != 0)
      abort();
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeSupervisor() {
    shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
    unlink(socket_path().c_str());
    rmdir(directory_.c_str());
  }
  FakeSupervisor(const FakeSupervisor&) = delete;
  FakeSupervisor& operator=(const FakeSupervisor&) = delete;

  std::string socket_path() const { return directory_ + "/s"; }
  // The next answer to `request` ("GET /v1/icons"); the last one stays for all later requests.
  void on(const std::string& request, std::string body, int status = 200) {
    const std::lock_guard lock(mutex_);
    answers_[request].emplace_back(status, std::move(body));
  }
  // "METHOD target" and body, in order.
  std::vector<std::pair<std::string, std::string>> asked() const {
    const std::lock_guard lock(mutex_);
    return asked_;
  }
  std::string body_of(const std::string& request) const {
    for (const auto& [what, body] : asked())
      if (what == request) return body;
    return "(never asked)";
  }

 private:
  void serve() {
    for (;;) {
      const UniqueFd client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client) return;
      std::string text;
      std::size_t expected = std::string::npos;
      while (text.size() < expected) {
        char chunk[4096];
        const ssize_t count = recv(client.get(), chunk, sizeof chunk, 0);
        if (count <= 0) break;
        text.append(chunk, static_cast<std::size_t>(count));
        const auto head = text.find("\r\n\r\n");
        if (head == std::string::npos) continue;
        const auto length = text.find("Content-Length: ");
        expected = head + 4 + (length < head ? std::stoul(text.substr(length + 16)) : 0);
      }
      const auto reply = answer(text);
      (void)!send(client.get(), reply.data(), reply.size(), MSG_NOSIGNAL);
    }
  }

  std::string answer(const std::string& text) {
    const std::lock_guard lock(mutex_);
    const auto request = text.substr(0, text.find(" HTTP/"));
    const auto head = text.find("\r\n\r\n");
    asked_.emplace_back(request, head == std::string::npos ? "" : text.substr(head + 4));
    int status = 404;
    std::string body = R"({"error":{"code":"not_found","message":"nothing at )" + request + "\"}}";
    if (auto& queue = answers_[request]; !queue.empty()) {
      std::tie(status, body) = queue.front();
      if (queue.size() > 1) queue.pop_front();
    }
    return "HTTP/1.1 " + std::to_string(status) +
           " X\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\nConnection: close\r\n\r\n" + body;
  }

  std::string directory_;
  UniqueFd listener_;
  mutable std::mutex mutex_;
  std::map<std::string, std::deque<std::pair<int, std::string>>> answers_;
  std::vector<std::pair<std::string, std::string>> asked_;
  std::thread thread_;
};

}  // namespace icon::cli
