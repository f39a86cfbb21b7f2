#include "base/clock.h"

namespace icon {

UtcMillis SystemClock::utc_ms() const {
  return std::chrono::duration_cast<Millis>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

SteadyTime SystemClock::steady() const { return std::chrono::steady_clock::now(); }

}  // namespace icon
