// Time as an object that tests can replace. Documents carry UTC milliseconds; waits use the
// steady clock.
#pragma once

#include <chrono>
#include <cstdint>

namespace icon {

using Millis = std::chrono::milliseconds;
using Micros = std::chrono::microseconds;
using SteadyTime = std::chrono::steady_clock::time_point;

// Milliseconds since 1970-01-01 UTC.
using UtcMillis = std::int64_t;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual UtcMillis utc_ms() const = 0;
  virtual SteadyTime steady() const = 0;
};

class SystemClock final : public Clock {
 public:
  UtcMillis utc_ms() const override;
  SteadyTime steady() const override;
};

// A clock that stands still until it is told. For tests; any thread that owns it.
class FakeClock final : public Clock {
 public:
  UtcMillis utc_ms() const override { return utc_ms_; }
  SteadyTime steady() const override { return steady_; }
  void advance(Millis by) {
    utc_ms_ += by.count();
    steady_ += by;
  }

 private:
  UtcMillis utc_ms_ = 1'700'000'000'000;
  SteadyTime steady_{std::chrono::seconds(1000)};
};

}  // namespace icon
