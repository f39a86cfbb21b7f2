// The AF_UNIX sockets of a network namespace and who is connected with whom: by sock_diag(7), since
// /proc/net/unix does not tell.
#pragma once

#include <cstdint>
#include <map>
#include <span>

#include "base/fd.h"
#include "base/result.h"

namespace icon::migration {

inline constexpr std::size_t kUnixSocketsMax = 200'000;

struct UnixSocket {
  bool is_datagram = false;
  bool is_connected = false;
  bool is_shut = false;     // both ways
  std::uint64_t peer = 0;   // inode of the other end; 0: none, not accepted yet, or closed
  std::uint64_t asked = 0;  // inode of the listener that has not accepted it yet
  bool operator==(const UnixSocket&) const = default;
};
using UnixSockets = std::map<std::uint64_t, UnixSocket>;  // by inode

struct DiagOutcome {
  bool done = false;
  int error = 0;  // errno
};
// One datagram of the kernel's answer. What is cut off or not understood ends the reading of it.
// Errors: kLimit.
Result<DiagOutcome> parse_unix_diag(std::span<const std::uint8_t> datagram, UnixSockets& sockets);

// All of that namespace. Blocks; the calling thread visits the namespace. Errors: kIo, kLimit,
// kRefused, kUnavailable (a kernel without UNIX_DIAG).
Result<UnixSockets> unix_sockets_of(const UniqueFd& netns);

}  // namespace icon::migration
