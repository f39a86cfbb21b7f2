// How long how many users were how far away: sums over simulated time, and their percentiles.
#pragma once

#include <cstdint>
#include <vector>

namespace icon::simulate {

class RttTally {
 public:
  // `connections` for `ms` at `rtt_us`.
  void add(std::int64_t rtt_us, std::int64_t connections, std::int64_t ms);
  void add(const RttTally& other);
  // Rounded up to 0.1 ms; 0 when nobody was there. `percent`: 1 to 100.
  std::int64_t percentile_us(int percent) const;
  // Of the time of all connections, the part at or under `rtt_us` (a multiple of 0.1 ms), in
  // 1/1000.
  std::int64_t within_permille(std::int64_t rtt_us) const;
  std::int64_t connection_ms() const { return total_; }

 private:
  std::vector<std::int64_t> bins_;  // connection-milliseconds by 0.1 ms of RTT
  std::int64_t total_ = 0;
};

}  // namespace icon::simulate
