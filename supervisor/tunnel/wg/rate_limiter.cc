#include "supervisor/tunnel/wg/rate_limiter.h"

#include <algorithm>

namespace icon::tunnel::wg {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::nanoseconds kCost = std::chrono::nanoseconds(1s) / RateLimiter::kPerSecond;
constexpr std::chrono::nanoseconds kFull = kCost * RateLimiter::kBurst;
constexpr int kSourceBitsV6 = 64;

}  // namespace

void RateLimiter::forget_idle(SteadyTime now) {
  // A full bucket says nothing that a new one would not say.
  std::erase_if(buckets_, [&](const auto& item) { return now - item.second.updated >= kFull; });
  swept_ = now;
}

bool RateLimiter::allow(const Address& source, SteadyTime now) {
  if (now - swept_ >= 1s) forget_idle(now);
  const Address key = source.is_v4() ? source : Prefix::of(source, kSourceBitsV6).address;
  auto found = buckets_.find(key);
  if (found == buckets_.end()) {
    if (buckets_.size() >= kSourcesMax) return false;
    buckets_.emplace(key, Bucket{kFull - kCost, now});
    return true;
  }
  Bucket& bucket = found->second;
  bucket.tokens = std::min(kFull, bucket.tokens + (now - bucket.updated));
  bucket.updated = now;
  if (bucket.tokens < kCost) return false;
  bucket.tokens -= kCost;
  return true;
}

}  // namespace icon::tunnel::wg
