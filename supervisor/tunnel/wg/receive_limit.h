// How much of a peer's traffic is taken: two token buckets, for bits and for packets. What is
// beyond them is dropped before it costs a decryption; what turns out to be forged takes nothing
// from the peer.
#pragma once

#include <atomic>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"

namespace icon::tunnel::wg {

// 0: no limit.
struct ReceiveLimit {
  std::uint64_t bits_per_second = 0;
  std::uint64_t packets_per_second = 0;
  auto operator<=>(const ReceiveLimit&) const = default;
};

class ReceiveLimiter {
 public:
  // What may come at once: the rate of this long, but at least one train of datagrams.
  static constexpr Millis kBurst{50};
  static constexpr double kBurstBytesMin = 128 << 10;
  static constexpr double kBurstPacketsMin = 128;

  // Any thread.
  void set(ReceiveLimit limit);
  ReceiveLimit limit() const { return {bits_.load(), packets_.load()}; }
  std::uint64_t dropped() const { return dropped_.load(); }

  // The receiving thread. How many of `count` datagrams of `bytes` together may be opened now; the
  // rest is counted as dropped.
  std::size_t admit(std::size_t count, std::size_t bytes, SteadyTime now);
  // What of them was authentic.
  void charge(std::size_t count, std::size_t bytes) {
    packet_tokens_ -= static_cast<double>(count);
    byte_tokens_ -= static_cast<double>(bytes);
  }

 private:
  std::atomic<std::uint64_t> bits_{0};
  std::atomic<std::uint64_t> packets_{0};
  std::atomic<std::uint64_t> dropped_{0};
  double byte_tokens_ = kBurstBytesMin;
  double packet_tokens_ = kBurstPacketsMin;
  SteadyTime updated_{};
};

}  // namespace icon::tunnel::wg
