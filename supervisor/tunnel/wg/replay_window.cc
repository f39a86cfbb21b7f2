#include "supervisor/tunnel/wg/replay_window.h"

#include <algorithm>

namespace icon::tunnel::wg {

bool ReplayWindow::accept(std::uint64_t counter) {
  if (newest_ >= kSize && counter <= newest_ - kSize) return false;
  const std::uint64_t word = counter / kWordBits;
  if (counter > newest_) {
    const std::uint64_t newest_word = newest_ / kWordBits;
    const std::uint64_t fresh = std::min(word - newest_word, kWords);
    for (std::uint64_t i = 1; i <= fresh; ++i) bits_[(newest_word + i) % kWords] = 0;
    newest_ = counter;
  }
  std::uint64_t& bits = bits_[word % kWords];
  const std::uint64_t bit = std::uint64_t{1} << (counter % kWordBits);
  if ((bits & bit) != 0) return false;
  bits |= bit;
  return true;
}

}  // namespace icon::tunnel::wg
