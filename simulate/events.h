// The simulation's clock: what happens next. Events of one instant come in the order in which they
// were put in, so that a run never depends on anything but its seed.
#pragma once

#include <cstdint>
#include <queue>
#include <vector>

#include "base/clock.h"

namespace icon::simulate {

struct Happening {
  enum class Kind : std::uint8_t { kHour, kRound, kClose, kMoved, kSlotEnd };
  Kind kind = Kind::kHour;
  std::uint32_t subject = 0;  // a service; of kClose a node
  std::uint32_t number = 0;   // of the service's plans: a stale one is skipped
};

class Events {
 public:
  void at(UtcMillis when_ms, Happening what) { queue_.push({when_ms, next_++, what}); }
  bool empty() const { return queue_.empty(); }
  UtcMillis next_ms() const { return queue_.top().when_ms; }
  Happening pop() {
    const auto what = queue_.top().what;
    queue_.pop();
    return what;
  }

 private:
  struct Entry {
    UtcMillis when_ms;
    std::uint64_t order;
    Happening what;
    bool operator<(const Entry& other) const {  // the largest comes first
      return when_ms != other.when_ms ? when_ms > other.when_ms : order > other.order;
    }
  };
  std::priority_queue<Entry> queue_;
  std::uint64_t next_ = 0;
};

}  // namespace icon::simulate
