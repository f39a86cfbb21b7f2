#include "lab/dns_probe.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "base/netns.h"

namespace icon::lab {
namespace {

constexpr std::uint16_t kDnsPort = 53;
constexpr int kAttemptMs = 100;
constexpr std::size_t kReplyBytesMax = 4096;
constexpr std::uint8_t kTypeSoa = 6;

Result<UniqueFd> connected_socket(const UniqueFd& netns, const Address& server) {
  UniqueFd fd;
  ICON_CHECK(in_netns(netns, [&]() -> Status {
    fd.reset(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return fail_errno("socket");
    sockaddr_storage address{};
    const socklen_t length = server.to_sockaddr(kDnsPort, address);
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0)
      return fail_errno("connect to " + server.to_string());
    return {};
  }));
  return fd;
}

// Whether it answers one of the questions from `first` to `last`.
bool answers_any(const std::vector<std::uint8_t>& reply, std::uint16_t first, std::uint16_t last) {
  if (reply.size() < 2) return false;
  const auto id = static_cast<std::uint16_t>(reply[0] << 8 | reply[1]);
  return id >= first && id <= last && is_good_answer(reply, id);
}

// `first`: the id of the first question for this zone.
bool ask_once(int fd, const std::string& zone, std::uint16_t first, std::uint16_t id) {
  const auto query = soa_query(zone, id);
  if (send(fd, query.data(), query.size(), MSG_NOSIGNAL) < 0) {
    poll(nullptr, 0, kAttemptMs);  // refused: nobody listens there yet
    return false;
  }
  // An answer to an earlier question is as good, and one for another zone must not stand in the
  // way.
  pollfd readable{fd, POLLIN, 0};
  while (poll(&readable, 1, kAttemptMs) > 0) {
    std::vector<std::uint8_t> reply(kReplyBytesMax);
    const ssize_t length = recv(fd, reply.data(), reply.size(), 0);
    if (length < 0) {
      poll(nullptr, 0, kAttemptMs / 10);
      return false;
    }
    reply.resize(static_cast<std::size_t>(length));
    if (answers_any(reply, first, id)) return true;
  }
  return false;
}

}  // namespace

std::vector<std::uint8_t> soa_query(const std::string& zone, std::uint16_t id) {
  std::vector<std::uint8_t> query{static_cast<std::uint8_t>(id >> 8),
                                  static_cast<std::uint8_t>(id & 0xff),
                                  0x01,  // recursion desired
                                  0,
                                  0,
                                  1,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0};
  for (std::size_t at = 0; at < zone.size();) {
    const auto end = std::min(zone.find('.', at), zone.size());
    if (end > at) {
      query.push_back(static_cast<std::uint8_t>(end - at));
      query.insert(query.end(), zone.begin() + static_cast<std::ptrdiff_t>(at),
                   zone.begin() + static_cast<std::ptrdiff_t>(end));
    }
    at = end + 1;
  }
  for (const std::uint8_t byte :
       {std::uint8_t{0}, std::uint8_t{0}, kTypeSoa, std::uint8_t{0}, std::uint8_t{1}})
    query.push_back(byte);
  return query;
}

bool is_good_answer(const std::vector<std::uint8_t>& reply, std::uint16_t id) {
  if (reply.size() < 12) return false;
  const bool same_id = reply[0] == id >> 8 && reply[1] == (id & 0xff);
  const bool is_reply = (reply[2] & 0x80) != 0;
  const bool no_error = (reply[3] & 0x0f) == 0;
  const bool has_answer = reply[6] != 0 || reply[7] != 0;
  return same_id && is_reply && no_error && has_answer;
}

Status wait_for_zones(const UniqueFd& netns, const Address& server,
                      const std::vector<std::string>& zones, Millis limit) {
  ICON_TRY(UniqueFd socket, connected_socket(netns, server));
  const auto deadline = std::chrono::steady_clock::now() + limit;
  std::uint16_t id = 0;
  for (const auto& zone : zones) {
    const auto first = static_cast<std::uint16_t>(id + 1);
    while (!ask_once(socket.get(), zone, first, ++id))
      if (std::chrono::steady_clock::now() > deadline)
        return fail(Code::kTimeout, "the DNS server at " + server.to_string() +
                                        " gives no answer for the zone " + zone);
  }
  return {};
}

}  // namespace icon::lab
