// How many questions a DNS server gets at once and how long to wait for it: a window that grows
// while answers come and shrinks when packets get lost (AIMD), and the wait of RFC 6298. Pure.
#pragma once

#include <cstddef>

#include "base/clock.h"

namespace icon::discovery {

struct PaceLimits {
  std::size_t window_first = 100;
  std::size_t window_min = 4;
  std::size_t window_max = 256;
  Millis wait_min{200};  // a resolver that must ask others is no lost packet
  Millis wait_max{1'000};
};

class DnsPace {
 public:
  explicit DnsPace(PaceLimits limits)
      : limits_(limits), window_(static_cast<double>(limits.window_first)) {}

  // `crowded`: the window was full meanwhile; only then is there a reason for a larger one.
  void on_answer(Micros rtt, bool crowded);
  // A question was repeated and the repetition was answered at once: the first packet was lost.
  // Several losses within one round trip are one.
  void on_lost(SteadyTime now);

  std::size_t window() const { return static_cast<std::size_t>(window_); }
  // After this without an answer a question is asked again, elsewhere if possible.
  Millis wait() const;
  // 0: nothing was measured yet.
  Micros smoothed_rtt() const { return smoothed_; }

 private:
  PaceLimits limits_;
  double window_;
  bool starting_ = true;  // doubling per round trip, until the first loss
  Micros smoothed_{0};
  Micros variation_{0};
  SteadyTime deaf_until_{};
};

}  // namespace icon::discovery
