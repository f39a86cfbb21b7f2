// Which counters of a session have been seen (RFC 6479): a packet is delivered once. Pure; the
// receiving thread.
#pragma once

#include <array>
#include <cstdint>

namespace icon::tunnel::wg {

class ReplayWindow {
 public:
  // How far behind the newest a packet may arrive.
  static constexpr std::uint64_t kSize = 8192;

  // True the first time a counter comes, unless it is older than the window. Only after the packet
  // has been authenticated: a forged counter must not move the window.
  bool accept(std::uint64_t counter);

 private:
  static constexpr std::uint64_t kWordBits = 64;
  // One word more than the window: the word that is being filled is never one that still counts.
  static constexpr std::uint64_t kWords = kSize / kWordBits + 1;
  std::array<std::uint64_t, kWords> bits_{};
  std::uint64_t newest_ = 0;
};

}  // namespace icon::tunnel::wg
