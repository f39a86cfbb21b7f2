#include "supervisor/tunnel/wg/receive_limit.h"

#include <algorithm>

namespace icon::tunnel::wg {
namespace {

void refill(double& tokens, double per_second, double burst_min, double seconds) {
  const double burst = std::max(
      burst_min, per_second * std::chrono::duration<double>(ReceiveLimiter::kBurst).count());
  tokens = std::min(burst, tokens + per_second * seconds);
}

}  // namespace

void ReceiveLimiter::set(ReceiveLimit limit) {
  bits_.store(limit.bits_per_second);
  packets_.store(limit.packets_per_second);
}

std::size_t ReceiveLimiter::admit(std::size_t count, std::size_t bytes, SteadyTime now) {
  const ReceiveLimit rate = limit();
  if (rate == ReceiveLimit{} || count == 0) return count;
  const double seconds = std::chrono::duration<double>(now - updated_).count();
  updated_ = now;
  std::size_t admitted = count;
  if (rate.bits_per_second != 0) {
    refill(byte_tokens_, static_cast<double>(rate.bits_per_second) / 8, kBurstBytesMin, seconds);
    const double each = static_cast<double>(bytes) / static_cast<double>(count);
    admitted = std::min(admitted, static_cast<std::size_t>(std::max(0.0, byte_tokens_ / each)));
  }
  if (rate.packets_per_second != 0) {
    refill(packet_tokens_, static_cast<double>(rate.packets_per_second), kBurstPacketsMin, seconds);
    admitted = std::min(admitted, static_cast<std::size_t>(std::max(0.0, packet_tokens_)));
  }
  dropped_.fetch_add(count - admitted, std::memory_order_relaxed);
  return admitted;
}

}  // namespace icon::tunnel::wg
