// What the kernel's sock_diag says about TCP connections, from its bytes to plain samples. Pure:
// no socket, no clock. Hostile or unknown sizes are skipped, never read beyond.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/address.h"
#include "base/clock.h"

namespace icon::agent {

// One connection of a user at one moment.
struct TcpSample {
  Address user;  // v4-mapped addresses are IPv4 here
  std::uint16_t local_port = 0;
  std::uint16_t user_port = 0;
  std::uint32_t rtt_us = 0;      // smoothed; 0: the kernel has none yet
  std::uint32_t min_rtt_us = 0;  // the smallest of the last minutes; 0: none yet
  Millis idle{0};                // since the last data or acknowledgement from the user
  std::uint64_t bytes_received = 0;
  bool ended = false;  // from a destroy notification: the connection is gone
};

struct DiagOutcome {
  bool done = false;         // the dump is complete
  int error = 0;             // the kernel refused: an errno value
  bool interrupted = false;  // the table changed during the dump: entries may be missing or double
};

// Walks one datagram from a NETLINK_SOCK_DIAG socket. `on_sample` sees what has a tcp_info;
// everything else is skipped.
DiagOutcome parse_diag(std::span<const std::byte> datagram, bool ended,
                       const std::function<void(const TcpSample&)>& on_sample);

// The request that starts a dump of established connections with tcp_info. `family`: AF_INET or
// AF_INET6 (which includes the v4-mapped connections of dual-stack listeners).
std::vector<std::byte> dump_request(int family, std::uint32_t sequence);

}  // namespace icon::agent
