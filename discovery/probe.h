// What a probe looks like and how the kernel's reports about it are read. Pure: bytes in, values
// out; the fuzzers call it directly.
//
// The flow id (addresses, ports, checksum) of all probes to one target is the same, so that a load
// balancer sends them all one way (Paris traceroute). Which probe an answer belongs to is told by a
// tag beside its complement, which leaves the checksum as it is: in the payload (UDP), in the
// sequence number and the payload (ping).
//
// Other flow ids are used on purpose, to see whether a path is load-balanced: the port (UDP) or the
// checksum (ping) tells them apart.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "base/address.h"

namespace icon::discovery {

enum class ProbeKind { kUdp, kPing };

inline constexpr std::uint16_t kProbePort = 33434;  // where traceroute has always knocked
inline constexpr int kAttemptsMax = 8;
inline constexpr int kTtlMax = 64;
inline constexpr int kFlowsMax = 16;

struct ProbeTag {
  int ttl = 0;
  int attempt = 0;  // 1, 2, ...
  int flow = 0;     // 0: the flow of the trace itself
  auto operator<=>(const ProbeTag&) const = default;
};

// A datagram for sendmsg: the kernel adds ports, identifier and checksum.
struct ProbeBytes {
  std::array<std::uint8_t, 22> data{};
  std::size_t size = 0;
  std::span<const std::uint8_t> view() const { return {data.data(), size}; }
};
// `cookie` is random per run: what does not carry it is not an answer to us.
ProbeBytes make_probe(ProbeKind kind, bool v6, ProbeTag tag, std::uint64_t cookie);

struct ProbeReply {
  enum class Kind { kTimeExceeded, kUnreachable, kEchoReply };
  Kind kind = Kind::kTimeExceeded;
  Address target;  // whom the probe was sent to
  Address from;    // who answers
  int code = 0;    // of ICMP, for kUnreachable
  // Absent when a router quotes no more than the 8 bytes that RFC 792 asks for (UDP only).
  std::optional<ProbeTag> tag;
  std::optional<std::uint64_t> cookie;  // absent when the quote is too short for it
  int back_hops = 0;                    // by which the answer came, see back_hops(); 0: not known
  std::int64_t received_ns = 0;         // CLOCK_REALTIME, by the kernel; 0 when it did not say
};

// What recvmsg gave. Truncated parts are simply shorter.
struct RawMessage {
  std::span<const std::uint8_t> name;  // msg_name
  std::span<const std::uint8_t> control;
  std::span<const std::uint8_t> payload;
};

// By how many hops an answer came that arrives with this TTL: senders begin with 64, 128 or 255, as
// tracepath has it. The sender counts: who is N hops away answers by N hops if the way back is the
// same. 0: not a TTL.
int back_hops(int ttl_received);

// From the error queue (IP_RECVERR, IPV6_RECVERR). Nothing when it is not about a probe.
std::optional<ProbeReply> parse_error_message(ProbeKind kind, bool v6, const RawMessage& message);
// From the receive queue of a ping socket.
std::optional<ProbeReply> parse_echo_reply(bool v6, const RawMessage& message);

}  // namespace icon::discovery
