#include "supervisor/tunnel/replay_window.h"

#include <algorithm>

namespace icon::tunnel {

bool ReplayWindow::accept(std::uint64_t counter) {
  const std::uint64_t word = counter / 64;
  if (counter > newest_) {
    // Words that the window enters anew are cleared; one word is always ahead, hence kSize.
    const std::uint64_t steps = std::min(word - newest_ / 64, kWords);
    for (std::uint64_t i = 1; i <= steps; ++i) bits_[(newest_ / 64 + i) % kWords] = 0;
    newest_ = counter;
  } else if (newest_ - counter > kSize) {
    return false;
  }
  const std::uint64_t bit = std::uint64_t{1} << (counter % 64);
  std::uint64_t& bits = bits_[word % kWords];
  if ((bits & bit) != 0) return false;
  bits |= bit;
  return true;
}

}  // namespace icon::tunnel
