#include "discovery/probe_socket.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace icon::discovery {
namespace {

constexpr int kReceiveBufferBytes = 4 << 20;  // the kernel cuts it to net.core.rmem_max
constexpr std::size_t kBatch = 64;
constexpr int kSendRetriesMax = 16;  // pending ICMP errors in a row before an error is believed
constexpr int kReceiveBatchesMax = 1024;  // per call, so that a flood cannot hold the loop
constexpr std::size_t kPayloadBytes = 256;
constexpr std::size_t kControlBytes = 256;
constexpr std::size_t kTtlControlBytes = CMSG_SPACE(sizeof(int));

bool set_option(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

std::uint16_t port_of(ProbeTag tag) { return static_cast<std::uint16_t>(kProbePort + tag.flow); }

// The arrays that sendmmsg reads; they must stay where they are until it returns.
struct SendBatch {
  std::array<mmsghdr, kBatch> messages{};
  std::array<iovec, kBatch> vectors{};
  std::array<sockaddr_storage, kBatch> names{};
  std::array<ProbeBytes, kBatch> bytes{};
  alignas(cmsghdr) std::array<std::array<std::uint8_t, kTtlControlBytes>, kBatch> controls{};

  void set(std::size_t i, const OutgoingProbe& probe, ProbeKind kind, bool v6,
           std::uint64_t cookie) {
    bytes[i] = make_probe(kind, v6, probe.tag, cookie);
    vectors[i] = {bytes[i].data.data(), bytes[i].size};
    msghdr& header = messages[i].msg_hdr;
    header = {};
    header.msg_name = &names[i];
    header.msg_namelen =
        probe.target.to_sockaddr(kind == ProbeKind::kUdp ? port_of(probe.tag) : 0, names[i]);
    header.msg_iov = &vectors[i];
    header.msg_iovlen = 1;
    header.msg_control = controls[i].data();
    header.msg_controllen = kTtlControlBytes;
    cmsghdr* control = CMSG_FIRSTHDR(&header);
    control->cmsg_level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
    control->cmsg_type = v6 ? IPV6_HOPLIMIT : IP_TTL;
    control->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(control), &probe.tag.ttl, sizeof(int));
  }
};

struct ReceiveBatch {
  std::array<mmsghdr, kBatch> messages{};
  std::array<iovec, kBatch> vectors{};
  std::array<sockaddr_storage, kBatch> names{};
  std::array<std::array<std::uint8_t, kPayloadBytes>, kBatch> payloads{};
  alignas(cmsghdr) std::array<std::array<std::uint8_t, kControlBytes>, kBatch> controls{};

  void reset() {
    for (std::size_t i = 0; i < kBatch; ++i) {
      vectors[i] = {payloads[i].data(), kPayloadBytes};
      msghdr& header = messages[i].msg_hdr;
      header = {};
      header.msg_name = &names[i];
      header.msg_namelen = sizeof names[i];
      header.msg_iov = &vectors[i];
      header.msg_iovlen = 1;
      header.msg_control = controls[i].data();
      header.msg_controllen = kControlBytes;
    }
  }
  RawMessage message(std::size_t i) const {
    const msghdr& header = messages[i].msg_hdr;
    return {{reinterpret_cast<const std::uint8_t*>(&names[i]), header.msg_namelen},
            {controls[i].data(), header.msg_controllen},
            {payloads[i].data(), std::min<std::size_t>(messages[i].msg_len, kPayloadBytes)}};
  }
};

}  // namespace

Result<ProbeSocket> ProbeSocket::open(ProbeKind kind, bool v6) {
  const std::string what =
      std::string(kind == ProbeKind::kUdp ? "UDP" : "ping") + " socket, IPv" + (v6 ? "6" : "4");
  int protocol = 0;
  if (kind == ProbeKind::kPing) {
    protocol = v6 ? static_cast<int>(IPPROTO_ICMPV6) : static_cast<int>(IPPROTO_ICMP);
  }
  UniqueFd fd(socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
  if (!fd) {
    if (errno == EAFNOSUPPORT || errno == EPROTONOSUPPORT)
      return fail(Code::kUnavailable, what + ": not supported here");
    return fail_errno(
        kind == ProbeKind::kPing ? what + " (is our group in net.ipv4.ping_group_range?)" : what);
  }
  // Without the error queue there is nothing to learn; the other options only make it better.
  if (!set_option(fd.get(), v6 ? int{IPPROTO_IPV6} : int{IPPROTO_IP},
                  v6 ? IPV6_RECVERR : IP_RECVERR, 1))
    return fail_errno(what + ": receive ICMP errors");
  if (v6) (void)set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
  (void)set_option(fd.get(), v6 ? int{IPPROTO_IPV6} : int{IPPROTO_IP},
                   v6 ? IPV6_RECVHOPLIMIT : IP_RECVTTL, 1);
  (void)set_option(fd.get(), SOL_SOCKET, SO_TIMESTAMPNS, 1);
  (void)set_option(fd.get(), SOL_SOCKET, SO_RCVBUF, kReceiveBufferBytes);
  return ProbeSocket(std::move(fd), kind, v6);
}

void ProbeSocket::send(std::span<const OutgoingProbe> probes, std::uint64_t cookie,
                       const OnReply& on_reply,
                       const std::function<void(std::size_t, std::string)>& on_refused) {
  SendBatch batch;
  for (std::size_t first = 0; first < probes.size(); first += kBatch) {
    const std::size_t count = std::min(kBatch, probes.size() - first);
    for (std::size_t i = 0; i < count; ++i) batch.set(i, probes[first + i], kind_, v6_, cookie);
    int failures = 0;
    for (std::size_t sent = 0; sent < count;) {
      const int result =
          sendmmsg(fd_.get(), batch.messages.data() + sent, static_cast<unsigned>(count - sent), 0);
      if (result > 0) {
        sent += static_cast<std::size_t>(result);
        failures = 0;
        continue;
      }
      const int error = errno;
      if (error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS) return;
      if (error == EINTR) continue;
      if (++failures <= kSendRetriesMax) {
        ignored_ += receive_queue(MSG_ERRQUEUE, on_reply);
        continue;
      }
      on_refused(first + sent, std::strerror(error));
      ++sent;
      failures = 0;
    }
  }
}

std::size_t ProbeSocket::receive(const OnReply& on_reply) {
  std::size_t ignored = std::exchange(ignored_, 0);
  ignored += receive_queue(MSG_ERRQUEUE, on_reply);
  // Also for UDP: this is what clears a pending error, and a datagram that nobody reads would keep
  // the socket readable for ever.
  ignored += receive_queue(0, on_reply);
  return ignored;
}

std::size_t ProbeSocket::receive_queue(int flags, const OnReply& on_reply) {
  ReceiveBatch batch;
  std::size_t ignored = 0;
  for (int round = 0; round < kReceiveBatchesMax; ++round) {
    batch.reset();
    const int count =
        recvmmsg(fd_.get(), batch.messages.data(), kBatch, flags | MSG_DONTWAIT, nullptr);
    if (count < 0) {
      // Any other error is a pending ICMP error of the receive queue, taken by this call.
      if (errno == EAGAIN || errno == EWOULDBLOCK || (flags & MSG_ERRQUEUE) != 0) return ignored;
      continue;
    }
    if (count == 0) return ignored;
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      const RawMessage message = batch.message(i);
      std::optional<ProbeReply> reply;
      if ((flags & MSG_ERRQUEUE) != 0) {
        reply = parse_error_message(kind_, v6_, message);
      } else if (kind_ == ProbeKind::kPing) {
        reply = parse_echo_reply(v6_, message);
      }
      if (reply) {
        on_reply(*reply);
      } else {
        ++ignored;
      }
    }
  }
  return ignored;
}

}  // namespace icon::discovery
