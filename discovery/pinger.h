// Round trips to a few addresses, by the unprivileged sockets that traces use: ping, or UDP where
// the host forbids ping. Few packets, bounded time.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/result.h"
#include "base/task.h"

namespace icon::discovery {

struct PingLimits {
  int packets = 3;          // to each target
  Millis spacing{150};      // between packets to one target
  Millis answer_wait{900};  // after the last one
  std::size_t targets_max = 32;
};

struct PingOutcome {
  Address target;
  std::optional<std::int64_t> rtt_us;  // the smallest; absent: silent
  int answers = 0;
};

// One outcome for each target, in their order; targets must be distinct. Ends as soon as all have
// answered everything. What answers for somebody else, or without our random cookie, counts for
// nobody. Cancelling the coroutine closes the sockets. Errors: kLimit (too many targets), kRefused,
// kUnavailable, kIo (no socket for any of them).
Task<Result<std::vector<PingOutcome>>> ping(std::vector<Address> targets, PingLimits limits);

}  // namespace icon::discovery
