#pragma once

#include <poll.h>

#include "base/clock.h"

namespace icon::test {

// Polls: what is awaited is another process's work, of which nobody tells.
template <class Condition>
bool eventually(Condition condition, Millis limit = Millis(20'000)) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    poll(nullptr, 0, 10);
  }
  return true;
}

}  // namespace icon::test
