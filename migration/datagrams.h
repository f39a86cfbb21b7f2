// Datagrams that have arrived and that nobody has read yet: CRIU drops what waits in UDP sockets,
// so a service gets a moment to read them before it is frozen.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace icon::migration {

// What waits in the receive queues that `text` tells of, /proc/PID/net/udp or udp6, as the kernel
// counts their memory. Errors: kInvalid.
Result<std::uint64_t> parse_unread_bytes(std::string_view text);

// The same of all UDP sockets in the network namespace of a process. Errors: kNotFound, kIo,
// kLimit, kInvalid.
Result<std::uint64_t> unread_datagram_bytes(int pid);

}  // namespace icon::migration
