// How many handshakes one source may begin while we are busy: a token bucket per IPv4 address or
// IPv6 /64, in bounded memory. Receiving thread.
#pragma once

#include <unordered_map>

#include "base/address.h"
#include "base/clock.h"
#include "supervisor/tunnel/wg/keyed_hash.h"

namespace icon::tunnel::wg {

class RateLimiter {
 public:
  static constexpr int kPerSecond = 20;
  static constexpr int kBurst = 5;
  // With more sources at once, new ones are refused until old ones are forgotten.
  static constexpr std::size_t kSourcesMax = 8192;

  bool allow(const Address& source, SteadyTime now);
  std::size_t sources() const { return buckets_.size(); }

 private:
  struct Bucket {
    std::chrono::nanoseconds tokens{};  // as time
    SteadyTime updated;
  };
  void forget_idle(SteadyTime now);

  std::unordered_map<Address, Bucket, KeyedHash> buckets_;
  SteadyTime swept_;
};

}  // namespace icon::tunnel::wg
