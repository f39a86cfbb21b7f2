#include "discovery/probe.h"

#include <netinet/in.h>
#include <time.h>
// After <time.h>: the kernel header wants struct timespec.
#include <linux/errqueue.h>

#include <algorithm>
#include <cstring>

namespace icon::discovery {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::size_t kIcmpHeaderBytes = 8;
constexpr std::size_t kTagBytes = 4;  // the tag and its complement
constexpr std::size_t kCookieBytes = 8;
constexpr std::size_t kFlowBytes = 2;  // ping: nothing balances them out in the checksum
// The tag, from its lowest bit: TTL, attempt, flow, and a zero.
constexpr int kTtlBits = 7;
constexpr int kAttemptBits = 4;
constexpr int kFlowBits = 4;
constexpr int kEchoV4 = 8;
constexpr int kEchoReplyV4 = 0;
constexpr int kUnreachableV4 = 3;
constexpr int kTimeExceededV4 = 11;
constexpr int kEchoV6 = 128;
constexpr int kEchoReplyV6 = 129;
constexpr int kUnreachableV6 = 1;
constexpr int kTimeExceededV6 = 3;

void put_u16(std::uint8_t* to, std::uint16_t value) {
  to[0] = static_cast<std::uint8_t>(value >> 8);
  to[1] = static_cast<std::uint8_t>(value);
}
std::uint16_t get_u16(Bytes from, std::size_t at) {
  return static_cast<std::uint16_t>(from[at] << 8 | from[at + 1]);
}

// Copies a kernel struct out of bytes that may be unaligned. False when too few are there.
template <class Struct>
bool copy_out(Bytes from, Struct& to) {
  if (from.size() < sizeof to) return false;
  std::memcpy(&to, from.data(), sizeof to);
  return true;
}

std::optional<Address> read_address(Bytes name, bool v6) {
  if (v6) {
    sockaddr_in6 in6{};
    if (!copy_out(name, in6) || in6.sin6_family != AF_INET6) return std::nullopt;
    auto address = Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&in6));
    return address ? std::optional(*address) : std::nullopt;
  }
  sockaddr_in in{};
  if (!copy_out(name, in) || in.sin_family != AF_INET) return std::nullopt;
  auto address = Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&in));
  return address ? std::optional(*address) : std::nullopt;
}

// Calls visit(level, type, data) for each whole control message; stops at the first broken one.
template <class Visit>
void for_each_control(Bytes control, Visit visit) {
  while (control.size() >= sizeof(cmsghdr)) {
    cmsghdr header{};
    std::memcpy(&header, control.data(), sizeof header);
    if (header.cmsg_len < CMSG_LEN(0) || header.cmsg_len > control.size()) return;
    visit(header.cmsg_level, header.cmsg_type,
          control.subspan(CMSG_LEN(0), header.cmsg_len - CMSG_LEN(0)));
    const std::size_t step = CMSG_ALIGN(header.cmsg_len);
    if (step >= control.size()) return;
    control = control.subspan(step);
  }
}

struct ControlData {
  std::optional<sock_extended_err> error;
  std::optional<Address> offender;
  std::int64_t received_ns = 0;
  int ttl = 0;
};

ControlData read_control(Bytes control, bool v6) {
  ControlData found;
  for_each_control(control, [&](int level, int type, Bytes data) {
    const bool error = v6 ? level == IPPROTO_IPV6 && type == IPV6_RECVERR
                          : level == IPPROTO_IP && type == IP_RECVERR;
    const bool arrived_with =
        v6 ? level == IPPROTO_IPV6 && type == IPV6_HOPLIMIT : level == IPPROTO_IP && type == IP_TTL;
    timespec when{};
    int ttl = 0;
    sock_extended_err extended{};
    if (error && copy_out(data, extended)) {
      found.error = extended;
      found.offender = read_address(data.subspan(sizeof extended), v6);
    } else if (arrived_with && copy_out(data, ttl)) {
      found.ttl = ttl;
    } else if (level == SOL_SOCKET && type == SCM_TIMESTAMPNS && copy_out(data, when)) {
      constexpr std::int64_t kSecondsMax = INT64_MAX / 1'000'000'000 - 1;
      if (when.tv_sec > 0 && when.tv_sec < kSecondsMax && when.tv_nsec >= 0 &&
          when.tv_nsec < 1'000'000'000)
        found.received_ns = when.tv_sec * std::int64_t{1'000'000'000} + when.tv_nsec;
    }
  });
  return found;
}

enum class Quote { kNotOurs, kNoTag, kTagged };

std::optional<ProbeTag> split_tag(std::uint16_t tag) {
  const auto field = [tag](int from, int bits) { return tag >> from & ((1 << bits) - 1); };
  const ProbeTag split{field(0, kTtlBits), field(kTtlBits, kAttemptBits),
                       field(kTtlBits + kAttemptBits, kFlowBits)};
  if (split.ttl < 1 || split.ttl > kTtlMax || split.attempt < 1 || split.attempt > kAttemptsMax ||
      tag >> (kTtlBits + kAttemptBits + kFlowBits) != 0)
    return std::nullopt;
  return split;
}

void read_cookie(Bytes bytes, ProbeReply& reply) {
  if (bytes.size() < kCookieBytes) return;
  std::uint64_t cookie = 0;
  std::memcpy(&cookie, bytes.data(), sizeof cookie);
  reply.cookie = cookie;
}

// `quote` is what the router returned of our UDP payload.
Quote read_udp_quote(Bytes quote, ProbeReply& reply) {
  // RFC 4884 has routers that quote 8 bytes pad the quote with zeros.
  const Bytes seen = quote.first(std::min(quote.size(), kTagBytes + kCookieBytes));
  if (seen.size() < kTagBytes ||
      std::all_of(seen.begin(), seen.end(), [](std::uint8_t byte) { return byte == 0; }))
    return Quote::kNoTag;
  const std::uint16_t tag = get_u16(seen, 0);
  if ((tag ^ get_u16(seen, 2)) != 0xffff) return Quote::kNotOurs;
  reply.tag = split_tag(tag);
  read_cookie(seen.subspan(kTagBytes), reply);
  return reply.tag ? Quote::kTagged : Quote::kNotOurs;
}

// `icmp` is an echo request that came back in a quote, or an echo reply: the same layout.
Quote read_icmp(Bytes icmp, int type, ProbeReply& reply) {
  if (icmp.size() < kIcmpHeaderBytes || icmp[0] != type || icmp[1] != 0) return Quote::kNotOurs;
  const std::uint16_t tag = get_u16(icmp, 6);
  reply.tag = split_tag(tag);
  if (!reply.tag) return Quote::kNotOurs;
  const Bytes rest = icmp.subspan(kIcmpHeaderBytes);
  const Bytes seen = rest.first(std::min(rest.size(), kTagBytes + kCookieBytes));
  if (seen.size() < kTagBytes + kCookieBytes ||
      std::all_of(seen.begin(), seen.end(), [](std::uint8_t byte) { return byte == 0; }))
    return Quote::kTagged;
  if ((tag ^ get_u16(seen, 0)) != 0xffff) return Quote::kNotOurs;
  read_cookie(seen.subspan(kTagBytes), reply);
  return Quote::kTagged;
}

}  // namespace

ProbeBytes make_probe(ProbeKind kind, bool v6, ProbeTag tag, std::uint64_t cookie) {
  const auto number = static_cast<std::uint16_t>(tag.flow << (kTtlBits + kAttemptBits) |
                                                 tag.attempt << kTtlBits | tag.ttl);
  const auto complement = static_cast<std::uint16_t>(~number);
  ProbeBytes probe;
  std::uint8_t* data = probe.data.data();
  if (kind == ProbeKind::kUdp) {
    put_u16(data, number);
    put_u16(data + 2, complement);
    std::memcpy(data + kTagBytes, &cookie, sizeof cookie);
    probe.size = kTagBytes + kCookieBytes;
    return probe;
  }
  data[0] = static_cast<std::uint8_t>(v6 ? kEchoV6 : kEchoV4);
  put_u16(data + 6, number);
  put_u16(data + 8, complement);
  std::memcpy(data + kIcmpHeaderBytes + kTagBytes, &cookie, sizeof cookie);
  put_u16(data + kIcmpHeaderBytes + kTagBytes + kCookieBytes, static_cast<std::uint16_t>(tag.flow));
  probe.size = kIcmpHeaderBytes + kTagBytes + kCookieBytes + kFlowBytes;
  return probe;
}

int back_hops(int ttl_received) {
  if (ttl_received < 1 || ttl_received > 255) return 0;
  for (const int first : {64, 128})
    if (ttl_received <= first) return first + 1 - ttl_received;
  return 256 - ttl_received;
}

std::optional<ProbeReply> parse_error_message(ProbeKind kind, bool v6, const RawMessage& message) {
  const ControlData control = read_control(message.control, v6);
  const auto target = read_address(message.name, v6);
  if (!control.error || !control.offender || !target) return std::nullopt;
  if (control.error->ee_origin != (v6 ? SO_EE_ORIGIN_ICMP6 : SO_EE_ORIGIN_ICMP))
    return std::nullopt;
  ProbeReply reply;
  const int type = control.error->ee_type;
  if (type == (v6 ? kTimeExceededV6 : kTimeExceededV4)) {
    reply.kind = ProbeReply::Kind::kTimeExceeded;
  } else if (type == (v6 ? kUnreachableV6 : kUnreachableV4)) {
    reply.kind = ProbeReply::Kind::kUnreachable;
  } else {
    return std::nullopt;
  }
  reply.code = control.error->ee_code;
  reply.target = *target;
  reply.from = *control.offender;
  reply.received_ns = control.received_ns;
  reply.back_hops = back_hops(control.ttl);
  const Quote quote = kind == ProbeKind::kUdp
                          ? read_udp_quote(message.payload, reply)
                          : read_icmp(message.payload, v6 ? kEchoV6 : kEchoV4, reply);
  if (quote == Quote::kNotOurs) return std::nullopt;
  return reply;
}

std::optional<ProbeReply> parse_echo_reply(bool v6, const RawMessage& message) {
  const auto from = read_address(message.name, v6);
  constexpr std::size_t kWhole = kIcmpHeaderBytes + kTagBytes + kCookieBytes + kFlowBytes;
  if (!from || message.payload.size() < kWhole) return std::nullopt;
  ProbeReply reply;
  reply.kind = ProbeReply::Kind::kEchoReply;
  reply.target = *from;
  reply.from = *from;
  const ControlData control = read_control(message.control, v6);
  reply.received_ns = control.received_ns;
  reply.back_hops = back_hops(control.ttl);
  if (read_icmp(message.payload, v6 ? kEchoReplyV6 : kEchoReplyV4, reply) != Quote::kTagged)
    return std::nullopt;
  // The target returns the whole payload, with the cookie.
  if (!reply.cookie) return std::nullopt;
  return reply;
}

}  // namespace icon::discovery
