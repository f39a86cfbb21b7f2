// What an ICON has used up, by the kernel's counters.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "supervisor/cgroup.h"

namespace icon::supervisor {

// Since its control group and its namespace were made; a move makes them anew.
struct Consumption {
  std::int64_t cpu_us = 0;
  std::int64_t memory_bytes_max = 0;
  std::int64_t sent_bytes = 0;      // by the ICON
  std::int64_t received_bytes = 0;  // by the ICON
};

// What cannot be read counts as nothing. `pid`: a process in its network namespace.
Consumption consumption_of(const Cgroup& group, int pid);

// The line of `interface` in a /proc/PID/net/dev: received, sent.
struct InterfaceBytes {
  std::int64_t received = 0;
  std::int64_t sent = 0;
};
std::optional<InterfaceBytes> interface_bytes(std::string_view text, std::string_view interface);

}  // namespace icon::supervisor
