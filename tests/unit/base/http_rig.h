// A loop on a thread of its own and a plain blocking client: for tests of the HTTP server.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <filesystem>
#include <future>
#include <string>
#include <string_view>
#include <thread>

#include "base/fd.h"
#include "base/task.h"

namespace icon::test {

class RunningLoop {
 public:
  RunningLoop() : work_(boost::asio::make_work_guard(loop)), thread_([this] { loop.run(); }) {}
  ~RunningLoop() {
    work_.reset();
    loop.stop();
    thread_.join();
  }
  // Runs `work` on the loop's thread and waits for its value.
  template <class Work>
  auto on_loop(Work work) {
    std::packaged_task<decltype(work())()> task(std::move(work));
    auto result = task.get_future();
    boost::asio::post(loop, [&task] { task(); });
    return result.get();
  }

  IoContext loop;

 private:
  boost::asio::executor_work_guard<IoContext::executor_type> work_;
  std::thread thread_;
};

class TempDir {
 public:
  TempDir() {
    char pattern[] = "/tmp/icon-core-test-XXXXXX";
    path_ = mkdtemp(pattern);
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class RawClient {
 public:
  explicit RawClient(const std::string& path) {
    fd_.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    connected_ = connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    const timeval limit{20, 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  bool connected() const { return connected_; }

  // False: the server has closed before all of it; its answer says why.
  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t count = ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (count <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
  }
  // Until `end` has arrived, or the end of the connection.
  std::string read_until(std::string_view end) {
    char chunk[4096];
    while (received_.find(end) == std::string::npos) {
      const ssize_t count = recv(fd_.get(), chunk, sizeof chunk, 0);
      if (count <= 0) break;
      received_.append(chunk, static_cast<std::size_t>(count));
    }
    return received_;
  }
  std::string read_all() { return read_until("\x01 never \x01"); }
  void forget() { received_.clear(); }
  void close() { fd_.reset(); }

 private:
  UniqueFd fd_;
  bool connected_ = false;
  std::string received_;
};

}  // namespace icon::test
