// This host as one who measures for strangers: the round trips from here to addresses that an ICON
// names, within limits, and signed.
#pragma once

#include <cstdint>

#include "base/address.h"
#include "base/clock.h"
#include "base/keys.h"
#include "base/task.h"
#include "supervisor/config.h"
#include "supervisor/ping_guard.h"
#include "wire/envelope.h"
#include "wire/ping.h"

namespace icon::supervisor {

struct PingCounts {
  std::uint64_t requests = 0;
  std::uint64_t requests_refused = 0;
  std::uint64_t targets_answered = 0;
  std::uint64_t targets_silent = 0;
  std::uint64_t targets_known = 0;  // told again
  std::uint64_t targets_refused = 0;
};

// Owned by Host. Loop thread only.
class Pings {
 public:
  static constexpr int kRunsMax = 8;  // under way at once
  static constexpr Millis kReportLifetime{600'000};

  // All outlive it.
  Pings(const Config& config, const KeyPair& key, const Clock& clock);

  // `source`: where the caller's connection comes from. Takes up to about 1.5 s. Errors: kRefused
  // (the operator has switched it off), kUnauthenticated, kExpired, kInvalid, kLimit, and those of
  // discovery::ping.
  Task<Result<wire::Envelope>> answer(wire::Envelope request, Address source);
  const PingCounts& counts() const { return counts_; }

 private:
  Task<Result<wire::Envelope>> measure(wire::Envelope request, Address source);
  Task<Status> fill(std::vector<wire::PingFigure>& figures);

  const Config& config_;
  const KeyPair& key_;
  const Clock& clock_;
  PingGuard guard_;
  PingCounts counts_;
  int running_ = 0;
};

}  // namespace icon::supervisor
