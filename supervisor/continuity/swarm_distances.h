// How far this host is from the users of a swarm: whom to ask next, and what is known. Who answers
// no pings takes his turn like all others, so that he takes nobody else's. Pure; loop thread only.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "supervisor/continuity/swarm_choice.h"

namespace icon::supervisor {

struct DistanceLimits {
  std::size_t targets_max = 32;  // asked at once
  Millis again{10'000};          // a distance may have changed
  Millis once_more{1'000};       // nobody answered: it may be the load
};

class SwarmDistances {
 public:
  explicit SwarmDistances(DistanceLimits limits = {}) : limits_(limits) {}

  // Who is to be asked now, the longest not asked first. Whoever is nobody's user any more is
  // forgotten; of more than kSwarmTargetsMax each ICON's heaviest count first.
  std::vector<Address> targets(const std::vector<HostReport>& reports, SteadyTime now);
  void answered(const Address& user, std::int64_t rtt_us);
  std::map<Address, std::int64_t> known() const;

 private:
  struct Distance {
    std::optional<std::int64_t> rtt_us;  // the last that was measured
    std::optional<SteadyTime> asked;
    bool answered = false;  // the last time
  };
  DistanceLimits limits_;
  std::map<Address, Distance> distances_;
};

}  // namespace icon::supervisor
