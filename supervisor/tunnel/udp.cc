#include "supervisor/tunnel/udp.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace icon::tunnel {
namespace {

constexpr int kReceiveBufferBytes = 8 << 20;
constexpr int kSendBufferBytes = 2 << 20;
constexpr int kRoomTimeoutMs = 100;
constexpr int kErrorsSkippedMax = 64;

void set_option(const UniqueFd& fd, int level, int name, int value) {
  // Each is an improvement, none is needed.
  setsockopt(fd.get(), level, name, &value, sizeof value);
}

void set_buffer(const UniqueFd& fd, int forced, int name, int bytes) {
  if (setsockopt(fd.get(), SOL_SOCKET, forced, &bytes, sizeof bytes) != 0)
    set_option(fd, SOL_SOCKET, name, bytes);
}

socklen_t address_of(const Endpoint& endpoint, bool v6, sockaddr_storage& storage) {
  if (!v6 || !endpoint.address.is_v4()) return endpoint.address.to_sockaddr(endpoint.port, storage);
  std::array<std::uint8_t, 16> mapped{};
  mapped[10] = mapped[11] = 0xff;
  std::ranges::copy(endpoint.address.bytes(), mapped.begin() + 12);
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(endpoint.port);
  std::memcpy(&address.sin6_addr, mapped.data(), mapped.size());
  std::memcpy(&storage, &address, sizeof address);
  return sizeof address;
}

template <class Value>
void put_control(msghdr& message, int level, int type, Value value) {
  auto* at = reinterpret_cast<cmsghdr*>(static_cast<std::uint8_t*>(message.msg_control) +
                                        message.msg_controllen);
  at->cmsg_level = level;
  at->cmsg_type = type;
  at->cmsg_len = CMSG_LEN(sizeof value);
  std::memcpy(CMSG_DATA(at), &value, sizeof value);
  message.msg_controllen += CMSG_SPACE(sizeof value);
}

// How much of the batch one call can carry.
std::size_t portion(const UdpBatch& batch) {
  const std::size_t segments = std::min(kUdpSegmentsMax, kUdpPayloadMax / batch.segment);
  return std::min(batch.bytes, std::max<std::size_t>(segments, 1) * batch.segment);
}

}  // namespace

Result<std::unique_ptr<UdpSocket>> UdpSocket::create(std::uint32_t mark) {
  std::unique_ptr<UdpSocket> made(new UdpSocket);
  made->fd_.reset(::socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  made->v6_ = made->fd_.valid();
  if (!made->v6_) made->fd_.reset(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const UniqueFd& fd = made->fd_;
  if (!fd) return fail_errno("create the tunnel's socket");
  set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, kReceiveBufferBytes);
  set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, kSendBufferBytes);
  // The outer packet may be fragmented on a narrow path; the inner one keeps its own DF.
  set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
  set_option(fd, IPPROTO_IP, IP_RECVTOS, 1);
  if (made->v6_) {
    set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT);
    set_option(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
  }
  set_option(fd, IPPROTO_UDP, UDP_GRO, 1);
  if (mark != 0 && setsockopt(fd.get(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) != 0)
    return fail_errno("mark the tunnel's datagrams");
  return made;
}

Status UdpSocket::bind(std::uint16_t port) {
  sockaddr_storage address{};
  const Address any = v6_ ? Address::v6({}) : Address{};
  const socklen_t bytes = any.to_sockaddr(port, address);
  if (::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), bytes) != 0)
    return fail_errno("listen on UDP port " + std::to_string(port));
  socklen_t room = sizeof address;
  if (getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &room) != 0)
    return fail_errno("read the tunnel's port");
  // At the same place in both families.
  sockaddr_in bound{};
  std::memcpy(&bound, &address, sizeof bound);
  port_ = ntohs(bound.sin_port);
  return {};
}

void UdpSocket::send(const UdpBatch& batch) {
  if (batch.bytes == 0 || (!v6_ && !batch.to.address.is_v4())) return;
  sockaddr_storage to{};
  alignas(cmsghdr) std::uint8_t control[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(2)]{};
  msghdr message{};
  message.msg_name = &to;
  message.msg_namelen = address_of(batch.to, v6_, to);
  message.msg_control = control;
  if (batch.ecn != 0 && batch.to.address.is_v4())
    put_control(message, IPPROTO_IP, IP_TOS, int{batch.ecn});
  else if (batch.ecn != 0)
    put_control(message, IPPROTO_IPV6, IPV6_TCLASS, int{batch.ecn});
  for (UdpBatch rest = batch; rest.bytes > 0;) {
    UdpBatch part = rest;
    part.bytes = portion(rest);
    rest.data += part.bytes;
    rest.bytes -= part.bytes;
    if (part.bytes <= part.segment || !can_segment_.load(std::memory_order_relaxed) ||
        !send_segmented(part, message))
      send_each(part, message);
  }
}

bool UdpSocket::wait_for_room() const {
  pollfd wait{fd_.get(), POLLOUT, 0};
  return poll(&wait, 1, kRoomTimeoutMs) > 0;
}

// False when the datagrams must be sent one by one.
bool UdpSocket::send_segmented(const UdpBatch& part, msghdr& message) {
  iovec bytes{const_cast<std::uint8_t*>(part.data), part.bytes};
  const auto control_before = message.msg_controllen;
  put_control(message, IPPROTO_UDP, UDP_SEGMENT, static_cast<std::uint16_t>(part.segment));
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  ssize_t sent = 0;
  do {
    sent = sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
  } while (sent < 0 && (errno == EINTR || (errno == EAGAIN && wait_for_room())));
  message.msg_controllen = control_before;
  if (sent >= 0) return true;
  // EIO: the card cannot sum. The others: a segment is longer than the path's MTU.
  if (errno == EIO) can_segment_.store(false, std::memory_order_relaxed);
  return errno != EIO && errno != EINVAL && errno != EMSGSIZE;
}

void UdpSocket::send_each(const UdpBatch& batch, const msghdr& message) {
  std::array<mmsghdr, kUdpSegmentsMax> messages{};
  std::array<iovec, kUdpSegmentsMax> parts{};
  unsigned count = 0;
  for (std::size_t at = 0; at < batch.bytes; at += batch.segment, ++count) {
    parts[count] = {const_cast<std::uint8_t*>(batch.data) + at,
                    std::min(batch.segment, batch.bytes - at)};
    messages[count].msg_hdr = message;
    messages[count].msg_hdr.msg_iov = &parts[count];
    messages[count].msg_hdr.msg_iovlen = 1;
    if (message.msg_controllen == 0) messages[count].msg_hdr.msg_control = nullptr;
  }
  for (unsigned done = 0; done < count;) {
    const int sent = sendmmsg(fd_.get(), messages.data() + done, count - done, MSG_NOSIGNAL);
    if (sent > 0) {
      done += static_cast<unsigned>(sent);
    } else if (errno == EAGAIN) {
      if (!wait_for_room()) return;
    } else if (errno != EINTR) {
      ++done;  // lost: no route, or too long
    }
  }
}

UdpReceiver::UdpReceiver() : buffer_(kMessages * kBufferBytes) {}

std::span<const UdpReceiver::Train> UdpReceiver::receive(const UdpSocket& socket) {
  for (std::size_t i = 0; i < kMessages; ++i) {
    parts_[i] = {buffer_.data() + i * kBufferBytes, kBufferBytes};
    msghdr& header = messages_[i].msg_hdr;
    header = {};
    header.msg_name = &sources_[i];
    header.msg_namelen = sizeof sources_[i];
    header.msg_iov = &parts_[i];
    header.msg_iovlen = 1;
    header.msg_control = controls_[i].bytes.data();
    header.msg_controllen = controls_[i].bytes.size();
  }
  int count = -1;
  for (int skipped = 0; count < 0 && skipped < kErrorsSkippedMax; ++skipped) {
    count = recvmmsg(socket.fd(), messages_.data(), kMessages, MSG_DONTWAIT, nullptr);
    if (count < 0 && errno == EAGAIN) return {};
  }
  std::size_t trains = 0;
  for (int i = 0; i < count; ++i)
    if (const auto train = train_of(messages_[static_cast<std::size_t>(i)]))
      trains_[trains++] = *train;
  return std::span<const Train>(trains_).first(trains);
}

std::optional<UdpReceiver::Train> UdpReceiver::train_of(const mmsghdr& message) const {
  const msghdr& header = message.msg_hdr;
  const auto address = Address::from_sockaddr(static_cast<const sockaddr*>(header.msg_name));
  if (!address || (header.msg_flags & MSG_TRUNC) != 0) return {};
  Train train;
  train.bytes = {static_cast<std::uint8_t*>(header.msg_iov->iov_base), message.msg_len};
  train.segment = message.msg_len;
  train.from.address = *address;
  sockaddr_in port{};
  std::memcpy(&port, header.msg_name, sizeof port);
  train.from.port = ntohs(port.sin_port);
  for (const cmsghdr* at = CMSG_FIRSTHDR(&header); at != nullptr;
       at = CMSG_NXTHDR(const_cast<msghdr*>(&header), const_cast<cmsghdr*>(at))) {
    int value = 0;
    std::memcpy(&value, CMSG_DATA(at),
                std::min<std::size_t>(sizeof value, at->cmsg_len - CMSG_LEN(0)));
    if (at->cmsg_level == IPPROTO_UDP && at->cmsg_type == UDP_GRO && value > 0)
      train.segment = static_cast<std::size_t>(value);
    if ((at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_TOS) ||
        (at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_TCLASS))
      train.ecn = static_cast<std::uint8_t>(value) & kEcnMask;
  }
  return train;
}

}  // namespace icon::tunnel
