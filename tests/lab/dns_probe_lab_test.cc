// The probe against a server that answers later than the probe asks again.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <deque>
#include <thread>

#include "base/netns.h"
#include "base/subprocess.h"
#include "lab/dns_probe.h"

namespace icon::lab {
namespace {

using SteadyClock = std::chrono::steady_clock;

struct Late {
  SteadyClock::time_point due;
  std::vector<std::uint8_t> reply;
  sockaddr_in to{};
};

void answer_late(int fd, Millis delay, const std::atomic<bool>& is_enough) {
  std::deque<Late> waiting;
  while (!is_enough) {
    pollfd readable{fd, POLLIN, 0};
    if (poll(&readable, 1, 5) > 0) {
      std::array<std::uint8_t, 512> query{};
      Late late;
      socklen_t size = sizeof late.to;
      const ssize_t count =
          recvfrom(fd, query.data(), query.size(), 0, reinterpret_cast<sockaddr*>(&late.to), &size);
      if (count < 12) continue;
      query[2] = 0x84;
      query[7] = 1;  // a record, for whoever only counts them
      late.reply.assign(query.begin(), query.begin() + count);
      late.due = SteadyClock::now() + delay;
      waiting.push_back(std::move(late));
    }
    for (; !waiting.empty() && waiting.front().due <= SteadyClock::now(); waiting.pop_front())
      (void)!sendto(fd, waiting.front().reply.data(), waiting.front().reply.size(), 0,
                    reinterpret_cast<const sockaddr*>(&waiting.front().to),
                    sizeof waiting.front().to);
  }
}

TEST(DnsProbeLab, AServerMayBeSlowerThanTheQuestionsCome) {
  const std::string netns = "icon-dns-" + std::to_string(getpid());
  const auto ip = [&](std::vector<std::string> words) {
    Command command;
    words.insert(words.begin(), "ip");
    command.argv = std::move(words);
    const auto done = run_checked_blocking(std::move(command));
    ASSERT_TRUE(done) << done.error().message;
  };
  ip({"netns", "add", netns});
  ip({"-n", netns, "link", "set", "lo", "up"});
  const auto inside = open_netns(netns);
  ASSERT_TRUE(inside);
  UniqueFd server;
  const auto listening = in_netns(*inside, [&]() -> Status {
    server.reset(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(53);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(server.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      return fail_errno("bind");
    return {};
  });
  EXPECT_TRUE(listening);
  std::atomic<bool> is_enough = false;
  std::thread answers([&] { answer_late(server.get(), Millis(150), is_enough); });
  const auto status =
      wait_for_zones(*inside, Address::parse("127.0.0.1").value(), {"a.", "b."}, Millis(5'000));
  EXPECT_TRUE(status) << (status ? "" : status.error().message);
  is_enough = true;
  answers.join();
  ip({"netns", "delete", netns});
}

}  // namespace
}  // namespace icon::lab
