// What the data path's tests talk with: threads that live in a namespace, sockets with limits, the
// echo service that plays the ICON.
#pragma once

#include <sys/socket.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <future>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/subprocess.h"

namespace icon::net::test {

// Of every name that this process gives to the machine.
std::string prefix();

// Runs `command` with /bin/sh, in `netns` unless it is empty.
CommandOutcome shell(const std::string& netns, const std::string& command);
// A failure of the test unless it ends with 0.
void must(const std::string& netns, const std::string& command);

// A thread that lives in a namespace and does what it is told, one thing after another.
class NetnsThread {
 public:
  explicit NetnsThread(const std::string& netns);
  ~NetnsThread();
  template <class Work>
  auto run(Work work) {
    using Result = decltype(work());
    if constexpr (std::is_void_v<Result>) {
      perform([&] { work(); });
    } else {
      std::optional<Result> result;
      perform([&] { result.emplace(work()); });
      return std::move(*result);
    }
  }
  boost::asio::io_context& loop() { return loop_; }

 private:
  void perform(const std::function<void()>& work);

  boost::asio::io_context loop_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_;
  std::thread thread_;
};

Endpoint endpoint(const std::string& text);

// A client's socket, made in whichever namespace the thread is in; blocking with a limit.
class Socket {
 public:
  // AF_INET6 speaks IPv4 as well.
  explicit Socket(int type, int family = AF_INET);
  int fd() const { return fd_.get(); }
  bool bind_to(const Endpoint& local);
  bool connect_to(const Endpoint& remote);
  std::uint16_t local_port() const;
  bool say(const std::string& text);
  // Exactly `bytes`, or what came before the end, an error or 5 s.
  std::string hear(std::size_t bytes);
  std::string hear_datagram();
  // Says `text` and hears it back, piece by piece.
  bool echoes(const std::string& text);
  bool silent_for(Millis time);

 private:
  UniqueFd fd_;
};

// Echoes TCP and UDP on port 80 in a namespace, and can speak first on accepted connections.
class EchoService {
 public:
  explicit EchoService(UniqueFd netns);
  ~EchoService();
  // To all open connections; the next echo comes after it.
  void shout(const std::string& text);
  // Instead of echoing them.
  void answer_datagrams_with(const std::string& text);
  std::string netns_file() const;
  std::vector<std::string> peers() const;

 private:
  void run();
  void accept_one(int listener, std::vector<UniqueFd>& connections);
  void echo_datagram(int fd, char* buffer, std::size_t room);

  UniqueFd netns_;
  std::atomic<bool> stop_{false};
  std::atomic<int> thread_id_{0};
  mutable std::mutex mutex_;
  std::string shout_;
  std::string answer_;
  std::promise<void>* shouted_ = nullptr;
  std::vector<std::string> peers_;
  std::promise<void> ready_;
  std::thread thread_;
};

}  // namespace icon::net::test
