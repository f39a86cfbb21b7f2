#include "agent/tcp_samples.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>

namespace icon::agent {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::uint8_t kStateEstablished = 1;
// The kernel's "nothing measured yet" for tcpi_min_rtt.
constexpr std::uint32_t kNoMinRtt = 0xffffffff;
// An honest kernel's round trip is below the longest retransmission timeout, 120 s.
constexpr std::uint32_t kRttUsMax = 120'000'000;

template <class T>
std::optional<T> read_at(Bytes bytes, std::size_t offset) {
  if (bytes.size() < sizeof(T) || offset > bytes.size() - sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

// Older and newer kernels have shorter and longer structs: the known part is taken, the rest is 0.
tcp_info read_tcp_info(Bytes payload) {
  tcp_info info{};
  std::memcpy(&info, payload.data(), std::min(payload.size(), sizeof info));
  return info;
}

// The payload of the first attribute of `type`; empty when there is none.
Bytes find_attribute(Bytes attributes, std::uint16_t type) {
  while (const auto header = read_at<rtattr>(attributes, 0)) {
    if (header->rta_len < sizeof(rtattr) || header->rta_len > attributes.size()) return {};
    if ((header->rta_type & NLA_TYPE_MASK) == type)
      return attributes.subspan(sizeof(rtattr), header->rta_len - sizeof(rtattr));
    attributes = attributes.subspan(
        std::min<std::size_t>(RTA_ALIGN(std::size_t{header->rta_len}), attributes.size()));
  }
  return {};
}

std::optional<Address> remote_address(const inet_diag_msg& message) {
  sockaddr_storage storage{};
  if (message.idiag_family == AF_INET) {
    auto& address = reinterpret_cast<sockaddr_in&>(storage);
    address.sin_family = AF_INET;
    std::memcpy(&address.sin_addr, message.id.idiag_dst, sizeof address.sin_addr);
  } else if (message.idiag_family == AF_INET6) {
    auto& address = reinterpret_cast<sockaddr_in6&>(storage);
    address.sin6_family = AF_INET6;
    std::memcpy(&address.sin6_addr, message.id.idiag_dst, sizeof address.sin6_addr);
  }
  const auto parsed = Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&storage));
  if (!parsed) return std::nullopt;
  return *parsed;
}

std::optional<TcpSample> read_sample(Bytes payload, bool ended) {
  const auto message = read_at<inet_diag_msg>(payload, 0);
  if (!message) return std::nullopt;
  const std::size_t header_bytes = NLMSG_ALIGN(sizeof(inet_diag_msg));
  if (payload.size() <= header_bytes) return std::nullopt;
  const Bytes info_bytes = find_attribute(payload.subspan(header_bytes), INET_DIAG_INFO);
  // Everything up to tcpi_rtt is older than any kernel that we run on.
  if (info_bytes.size() < offsetof(tcp_info, tcpi_rtt) + sizeof(std::uint32_t)) return std::nullopt;
  const auto user = remote_address(*message);
  if (!user) return std::nullopt;
  const tcp_info info = read_tcp_info(info_bytes);

  TcpSample sample;
  sample.user = *user;
  sample.local_port = ntohs(message->id.idiag_sport);
  sample.user_port = ntohs(message->id.idiag_dport);
  sample.rtt_us = info.tcpi_rtt <= kRttUsMax ? info.tcpi_rtt : 0;
  if (info.tcpi_min_rtt != kNoMinRtt && info.tcpi_min_rtt <= kRttUsMax)
    sample.min_rtt_us = info.tcpi_min_rtt;
  sample.idle = Millis(std::min(info.tcpi_last_data_recv, info.tcpi_last_ack_recv));
  sample.bytes_received = info.tcpi_bytes_received;
  sample.ended = ended;
  return sample;
}

// Netlink has errors as negative errno; nothing for what is none.
std::optional<int> error_number(int field) {
  constexpr int kErrnoMax = 4095;
  if (field >= 0 || field < -kErrnoMax) return std::nullopt;
  return -field;
}

}  // namespace

DiagOutcome parse_diag(Bytes datagram, bool ended,
                       const std::function<void(const TcpSample&)>& on_sample) {
  DiagOutcome outcome;
  while (const auto header = read_at<nlmsghdr>(datagram, 0)) {
    if (header->nlmsg_len < sizeof(nlmsghdr) || header->nlmsg_len > datagram.size()) break;
    const Bytes payload = datagram.subspan(sizeof(nlmsghdr), header->nlmsg_len - sizeof(nlmsghdr));
    if ((header->nlmsg_flags & NLM_F_DUMP_INTR) != 0) outcome.interrupted = true;
    if (header->nlmsg_type == NLMSG_DONE) {
      // Newer kernels put the error of a failed dump here.
      const auto error = read_at<int>(payload, 0);
      outcome.done = true;
      if (error) outcome.error = error_number(*error).value_or(0);
      break;
    }
    if (header->nlmsg_type == NLMSG_ERROR) {
      const auto error = read_at<nlmsgerr>(payload, 0);
      outcome.error = error ? error_number(error->error).value_or(EPROTO) : EPROTO;
      break;
    }
    if (header->nlmsg_type == SOCK_DIAG_BY_FAMILY)
      if (const auto sample = read_sample(payload, ended)) on_sample(*sample);
    datagram = datagram.subspan(
        std::min<std::size_t>(NLMSG_ALIGN(std::size_t{header->nlmsg_len}), datagram.size()));
  }
  return outcome;
}

std::vector<std::byte> dump_request(int family, std::uint32_t sequence) {
  struct {
    nlmsghdr header;
    inet_diag_req_v2 request;
  } message{};
  message.header.nlmsg_len = sizeof message;
  message.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  message.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  message.header.nlmsg_seq = sequence;
  message.request.sdiag_family = static_cast<std::uint8_t>(family);
  message.request.sdiag_protocol = IPPROTO_TCP;
  message.request.idiag_ext = 1 << (INET_DIAG_INFO - 1);
  message.request.idiag_states = 1U << kStateEstablished;
  std::vector<std::byte> bytes(sizeof message);
  std::memcpy(bytes.data(), &message, sizeof message);
  return bytes;
}

}  // namespace icon::agent
