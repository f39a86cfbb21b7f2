// Who may have how many addresses pinged: what keeps POST /v1/pings from being a weapon. Pure but
// for the clock; every table is bounded, and what finds one full is refused.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/result.h"
#include "wire/ping.h"

namespace icon::supervisor {

struct PingQuota {
  std::int64_t burst = 0;       // targets at once
  std::int64_t per_minute = 0;  // and as many again each minute
  bool operator==(const PingQuota&) const = default;
};

struct PingGuardLimits {
  PingQuota key{64, 64};           // of one ICON
  PingQuota source{256, 256};      // of callers from one /24 or /48, whatever their keys
  PingQuota prefix{4, 6};          // towards one /24 or /48, whoever asks
  PingQuota host{128, 1200};       // all together
  std::size_t entries_max = 4096;  // of each table
  Millis cached{30'000};           // so long a figure is told again instead of asked again
  bool private_targets = false;
};

// Buckets that fill again with time. A key that is full again is forgotten.
class PingBuckets {
 public:
  PingBuckets(PingQuota quota, std::size_t entries_max)
      : quota_(quota), entries_max_(entries_max) {}
  // All of `count` or nothing.
  bool take(const std::string& key, std::int64_t count, SteadyTime now);
  std::size_t size() const { return levels_.size(); }

 private:
  struct Level {
    std::int64_t thousandths = 0;
    SteadyTime at{};
  };
  void refill(Level& level, SteadyTime now) const;
  void forget_full(SteadyTime now);

  PingQuota quota_;
  std::size_t entries_max_;
  std::map<std::string, Level> levels_;
  SteadyTime swept_{};
};

// Owner: the host's Pings. Loop thread only.
class PingGuard {
 public:
  PingGuard(const Clock& clock, PingGuardLimits limits);

  // A figure for every target: those to be pinged are empty, the others are refused or known.
  // Errors: kLimit (the key's or the source's share is used up; the message says which).
  Result<std::vector<wire::PingFigure>> admit(const std::string& key, const Address& source,
                                              const std::vector<Address>& targets);
  // What was measured.
  void learn(const wire::PingFigure& figure);
  static bool to_be_pinged(const wire::PingFigure& figure) {
    return figure.refused.empty() && figure.answers == 0 && !figure.rtt_us;
  }

 private:
  struct Known {
    wire::PingFigure figure;
    SteadyTime at{};
  };
  wire::PingFigure admit_target(const Address& target, SteadyTime now);

  const Clock& clock_;
  PingGuardLimits limits_;
  PingBuckets keys_;
  PingBuckets sources_;
  PingBuckets prefixes_;
  PingBuckets host_;
  std::map<Address, Known> known_;
};

}  // namespace icon::supervisor
