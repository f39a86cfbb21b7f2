#include "migration/movable/unix_sockets.h"

#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "base/netns.h"

namespace icon::migration {
namespace {

constexpr std::size_t kDatagramBytesMax = 32 << 10;
constexpr int kDatagramsMax = 20'000;
constexpr timeval kAnswerLimit{2, 0};

template <class T>
std::optional<T> read_at(std::span<const std::uint8_t> bytes, std::size_t at) {
  T value;
  if (at > bytes.size() || bytes.size() - at < sizeof value) return std::nullopt;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

constexpr std::size_t aligned(std::size_t size) { return (size + 3) & ~std::size_t{3}; }

// `body`: a unix_diag_msg and its attributes.
void read_socket(std::span<const std::uint8_t> body, UnixSockets& sockets) {
  const auto message = read_at<unix_diag_msg>(body, 0);
  if (!message) return;
  constexpr std::uint8_t kEstablished = 1;  // TCP_ESTABLISHED, which AF_UNIX borrows
  constexpr std::uint8_t kBothWays = 3;
  UnixSocket& socket = sockets[message->udiag_ino];
  socket.is_datagram = message->udiag_type == SOCK_DGRAM;
  socket.is_connected = message->udiag_state == kEstablished;
  for (std::size_t at = aligned(sizeof *message); at < body.size();) {
    const auto attribute = read_at<nlattr>(body, at);
    if (!attribute || attribute->nla_len < NLA_HDRLEN || attribute->nla_len > body.size() - at)
      return;
    const auto value = body.subspan(at + NLA_HDRLEN, attribute->nla_len - NLA_HDRLEN);
    if (attribute->nla_type == UNIX_DIAG_PEER) {
      socket.peer = read_at<std::uint32_t>(value, 0).value_or(0);
    } else if (attribute->nla_type == UNIX_DIAG_SHUTDOWN) {
      socket.is_shut = read_at<std::uint8_t>(value, 0) == kBothWays;
    } else if (attribute->nla_type == UNIX_DIAG_ICONS) {
      for (std::size_t i = 0; i + sizeof(std::uint32_t) <= value.size(); i += sizeof(std::uint32_t))
        sockets[*read_at<std::uint32_t>(value, i)].asked = message->udiag_ino;
    }
    at += aligned(attribute->nla_len);
  }
}

Status ask(int fd) {
  struct {
    nlmsghdr header;
    unix_diag_req request;
  } question{};
  question.header.nlmsg_len = sizeof question;
  question.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  question.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  question.request.sdiag_family = AF_UNIX;
  question.request.udiag_states = ~0U;
  question.request.udiag_show = UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS;
  if (send(fd, &question, sizeof question, 0) < 0) return fail_errno("ask sock_diag");
  return {};
}

Result<UnixSockets> read_all(int fd) {
  UnixSockets sockets;
  std::array<std::uint8_t, kDatagramBytesMax> buffer;
  for (int i = 0; i < kDatagramsMax; ++i) {
    const ssize_t count = recv(fd, buffer.data(), buffer.size(), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return fail_errno("read sock_diag");
    ICON_TRY(const auto outcome,
             parse_unix_diag({buffer.data(), static_cast<std::size_t>(count)}, sockets));
    if (outcome.error == ENOENT)
      return fail(Code::kUnavailable, "this kernel does not list AF_UNIX sockets (UNIX_DIAG)");
    if (outcome.error != 0) return fail_errno("sock_diag", outcome.error);
    if (outcome.done) return sockets;
  }
  return fail(Code::kLimit, "sock_diag's answer does not end");
}

}  // namespace

Result<DiagOutcome> parse_unix_diag(std::span<const std::uint8_t> datagram, UnixSockets& sockets) {
  for (std::size_t at = 0; at < datagram.size();) {
    const auto header = read_at<nlmsghdr>(datagram, at);
    if (!header || header->nlmsg_len < NLMSG_HDRLEN || header->nlmsg_len > datagram.size() - at)
      break;
    const auto body = datagram.subspan(at + NLMSG_HDRLEN, header->nlmsg_len - NLMSG_HDRLEN);
    if (header->nlmsg_type == NLMSG_DONE) return DiagOutcome{true, 0};
    if (header->nlmsg_type == NLMSG_ERROR) {
      const auto error = read_at<nlmsgerr>(body, 0);
      return DiagOutcome{false, error ? -error->error : EIO};
    }
    if (header->nlmsg_type == SOCK_DIAG_BY_FAMILY) read_socket(body, sockets);
    if (sockets.size() > kUnixSocketsMax)
      return fail(Code::kLimit, "more than 200,000 AF_UNIX sockets");
    at += aligned(header->nlmsg_len);
  }
  return DiagOutcome{};
}

Result<UnixSockets> unix_sockets_of(const UniqueFd& netns) {
  UniqueFd fd;
  ICON_CHECK(in_netns(netns, [&fd]() -> Status {
    fd = UniqueFd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
    if (!fd) return fail_errno("open sock_diag");
    return {};
  }));
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &kAnswerLimit, sizeof kAnswerLimit);
  ICON_CHECK(ask(fd.get()));
  return read_all(fd.get());
}

}  // namespace icon::migration
