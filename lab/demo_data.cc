#include "lab/demo_data.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>

#include "base/clock.h"
#include "base/fd.h"
#include "base/netns.h"
#include "lab/load_protocol.h"

namespace icon::lab {
namespace {

constexpr std::int64_t kInFlightMax = 2048;  // commands
constexpr std::size_t kUnsentMax = 1 << 20;
constexpr Millis kTotalMax{120'000};
constexpr int kPollMs = 100;
constexpr Millis kReadyMax{15'000};
constexpr std::int64_t kRetryMs = 50;

using Requests = std::function<std::string(std::int64_t)>;
using Replies = std::function<Status(std::int64_t, const std::string&)>;

Result<UniqueFd> connect_from(const DataStore& store) {
  UniqueFd fd;
  ICON_TRY(const auto netns, open_netns(store.netns));
  ICON_CHECK(in_netns(netns, [&]() -> Status {
    sockaddr_storage storage{};
    auto length = store.source.to_sockaddr(0, storage);
    fd.reset(socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd) return fail_errno("socket");
    if (bind(fd.get(), reinterpret_cast<sockaddr*>(&storage), length) != 0)
      return fail_errno("bind to " + store.source.to_string());
    length = store.redis.address.to_sockaddr(store.redis.port, storage);
    const timeval limit{10, 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd.get(), reinterpret_cast<sockaddr*>(&storage), length) != 0)
      return fail_errno("connect to " + store.redis.to_string());
    return {};
  }));
  return fd;
}

// Sends `count` commands, many in flight, and hands each reply to `reply`.
Status converse(const DataStore& store, const Requests& request, const Replies& reply,
                const std::function<Status()>& poll_caller) {
  ICON_TRY(const auto fd, connect_from(store));
  ICON_TRY(const auto protocol, make_protocol({}));
  const auto deadline = std::chrono::steady_clock::now() + kTotalMax;
  std::string unsent, unread;
  std::int64_t asked = 0, answered = 0;
  char buffer[256 << 10];
  while (answered < store.values) {
    while (asked < store.values && asked - answered < kInFlightMax && unsent.size() < kUnsentMax)
      unsent += request(asked++);
    pollfd wait{fd.get(), static_cast<short>(unsent.empty() ? POLLIN : POLLIN | POLLOUT), 0};
    if (poll(&wait, 1, kPollMs) < 0 && errno != EINTR) return fail_errno("poll");
    ICON_CHECK(poll_caller());
    if (std::chrono::steady_clock::now() > deadline)
      return fail(Code::kTimeout, fmt::format("{} of {} commands to {} were answered", answered,
                                              store.values, store.redis.to_string()));
    if ((wait.revents & POLLOUT) != 0) {
      const auto sent = send(fd.get(), unsent.data(), unsent.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && errno != EAGAIN && errno != EINTR) return fail_errno("send to redis");
      if (sent > 0) unsent.erase(0, static_cast<std::size_t>(sent));
    }
    if ((wait.revents & ~POLLOUT) == 0) continue;
    const auto got = recv(fd.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (got == 0) return fail(Code::kIo, "redis closed the connection");
    if (got < 0 && errno != EAGAIN && errno != EINTR) return fail_errno("receive from redis");
    if (got > 0) unread.append(buffer, static_cast<std::size_t>(got));
    std::size_t at = 0;
    while (at < unread.size()) {
      ICON_TRY(const auto parsed, protocol->parse(std::string_view(unread).substr(at)));
      if (!parsed) break;
      at += parsed->bytes;
      ICON_CHECK(reply(answered++, parsed->content));
    }
    unread.erase(0, at);
  }
  return {};
}

std::string key_of(std::int64_t number) { return fmt::format("data:{}", number); }

}  // namespace

std::string data_value(std::int64_t number) {
  std::string value(kDataValueBytes, '\0');
  auto state = static_cast<std::uint64_t>(number) * 0x9e3779b97f4a7c15ULL + 1;
  for (auto& byte : value) {  // xorshift64
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    byte = static_cast<char>(state >> 32);
  }
  return value;
}

Status wait_for_redis(const DataStore& store, const std::function<Status(std::int64_t)>& pass) {
  const auto deadline = std::chrono::steady_clock::now() + kReadyMax;
  while (true) {
    const auto fd = connect_from(store);
    if (fd) return {};
    if (std::chrono::steady_clock::now() > deadline) return fail(fd.error());
    ICON_CHECK(pass(kRetryMs));
  }
}

Status write_data(const DataStore& store, const std::function<Status()>& poll_caller) {
  return converse(
      store,
      [](std::int64_t number) {
        const auto key = key_of(number);
        return fmt::format("*3\r\n$3\r\nSET\r\n${}\r\n{}\r\n${}\r\n{}\r\n", key.size(), key,
                           kDataValueBytes, data_value(number));
      },
      [](std::int64_t, const std::string& reply) -> Status {
        if (reply == "+OK") return {};
        return fail(Code::kInvalid, "redis did not take a value: " + reply.substr(0, 200));
      },
      poll_caller);
}

Result<std::int64_t> count_damaged(const DataStore& store,
                                   const std::function<Status()>& poll_caller) {
  std::int64_t damaged = 0;
  ICON_CHECK(converse(
      store,
      [](std::int64_t number) {
        const auto key = key_of(number);
        return fmt::format("*2\r\n$3\r\nGET\r\n${}\r\n{}\r\n", key.size(), key);
      },
      [&](std::int64_t number, const std::string& reply) -> Status {
        if (reply != "$" + data_value(number)) ++damaged;
        return {};
      },
      poll_caller));
  return damaged;
}

}  // namespace icon::lab
