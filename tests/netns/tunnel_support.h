// What the tunnel's tests in namespaces share: commands, threads and TCP streams in a namespace,
// and the control socket.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/address.h"
#include "base/fd.h"
#include "base/netns.h"
#include "base/subprocess.h"

namespace icon::tunnel::test {

inline std::string prefix() { return "tun" + std::to_string(getpid()) + "-"; }

inline CommandOutcome shell(const std::string& netns, const std::string& command) {
  Command line;
  line.argv = {"/bin/sh", "-c", command};
  if (!netns.empty()) line.argv.insert(line.argv.begin(), {"nsenter", "--net=/run/netns/" + netns});
  auto outcome = run_command_blocking(std::move(line));
  return outcome ? *outcome : CommandOutcome{127, "", outcome.error().message};
}

inline void must(const std::string& netns, const std::string& command) {
  const auto outcome = shell(netns, command);
  ASSERT_TRUE(outcome.ok()) << command << ": " << outcome.error_output;
}

// A thread in a namespace, for one piece of work.
class InNetns {
 public:
  template <class Work>
  InNetns(const std::string& netns, Work work)
      : thread_([netns, work = std::move(work)]() mutable {
          auto fd = open_netns(netns);
          if (!fd || setns(fd->get(), CLONE_NEWNET) != 0) abort();
          work();
        }) {}
  ~InNetns() { thread_.join(); }

 private:
  std::thread thread_;
};

inline std::string ask(const std::string& socket_path, const std::string& request) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval limit{2, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::copy(socket_path.begin(), socket_path.end(), address.sun_path);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return {};
  (void)!send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL);
  std::string answer;
  char chunk[4096];
  for (ssize_t count = 0;
       !answer.ends_with("\n\n") && (count = recv(fd.get(), chunk, sizeof chunk, 0)) > 0;)
    answer.append(chunk, static_cast<std::size_t>(count));
  return answer;
}

inline std::uint8_t stream_byte(std::size_t at) {
  return static_cast<std::uint8_t>(at * 2654435761u >> 13);
}

// Sends `bytes` over TCP from a namespace to an address in another, and compares what arrives with
// what was sent.
inline bool streams(
    const std::string& from, const std::string& to, const std::string& address, std::size_t bytes,
    const std::function<void()>& meanwhile = [] {}) {
  constexpr std::uint16_t kPort = 5000;
  constexpr std::size_t kChunk = 65'536;
  const timeval limit{20, 0};
  sockaddr_storage target{};
  const socklen_t target_bytes = Address::parse(address)->to_sockaddr(kPort, target);
  UniqueFd listener;
  InNetns(to, [&] {
    listener.reset(socket(target.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int one = 1;
    setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener.get(), reinterpret_cast<sockaddr*>(&target), target_bytes) != 0 ||
        listen(listener.get(), 1) != 0)
      abort();
  });
  setsockopt(listener.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  bool same = false;
  std::thread receiver([&] {
    UniqueFd fd(accept(listener.get(), nullptr, nullptr));
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    std::size_t got = 0;
    std::vector<std::uint8_t> chunk(kChunk);
    for (ssize_t count = 0; (count = recv(fd.get(), chunk.data(), chunk.size(), 0)) > 0;)
      for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i, ++got)
        if (chunk[i] != stream_byte(got)) return;
    same = got == bytes;
  });
  {
    const InNetns sender(from, [&] {
      UniqueFd fd(socket(target.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
      setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
      if (connect(fd.get(), reinterpret_cast<sockaddr*>(&target), target_bytes) != 0) return;
      std::vector<std::uint8_t> chunk(kChunk);
      for (std::size_t done = 0; done < bytes;) {
        const std::size_t now = std::min(chunk.size(), bytes - done);
        for (std::size_t i = 0; i < now; ++i) chunk[i] = stream_byte(done + i);
        if (send(fd.get(), chunk.data(), now, MSG_NOSIGNAL) != static_cast<ssize_t>(now)) return;
        done += now;
      }
    });
    meanwhile();
  }
  receiver.join();
  return same;
}

}  // namespace icon::tunnel::test
