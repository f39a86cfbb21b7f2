// What this host gave to the processes of the container: processor time against what they were
// ready to use, and traffic. From /proc, without privileges; no descriptor stays open.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "budget/promise_record.h"

namespace icon::agent {

inline constexpr std::size_t kMeteredTasksMax = 1'024;

// Sums since the processes began.
struct HostSums {
  std::int64_t cpu_us = 0;     // ran
  std::int64_t waited_us = 0;  // ready to run, and did not
  std::int64_t net_bytes = 0;  // in and out, without the loopback
};
HostSums read_host_sums();

// Owner: Promises. One thread.
class HostMeter {
 public:
  // Since the last call. `cpu_millis`: what the slot gives. More than that cannot be wanted of the
  // host, and who wanted less got less. The first call after restart() says nothing.
  budget::HostUse since_last(const HostSums& sums, std::int64_t cpu_millis, SteadyTime now);
  void restart() { started_ = false; }

 private:
  HostSums last_;
  SteadyTime at_{};
  bool started_ = false;
};

}  // namespace icon::agent
