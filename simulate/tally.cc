#include "simulate/tally.h"

#include <algorithm>
#include <cstddef>

namespace icon::simulate {
namespace {

constexpr std::int64_t kBinUs = 100;
constexpr std::size_t kBins = 10'000;  // the last one: a second and more

std::size_t bin_of(std::int64_t rtt_us) {
  const auto bin = static_cast<std::size_t>((std::max<std::int64_t>(rtt_us, 1) - 1) / kBinUs);
  return std::min(bin, kBins - 1);
}

}  // namespace

void RttTally::add(std::int64_t rtt_us, std::int64_t connections, std::int64_t ms) {
  if (connections <= 0 || ms <= 0) return;
  bins_.resize(kBins);
  bins_[bin_of(rtt_us)] += connections * ms;
  total_ += connections * ms;
}

void RttTally::add(const RttTally& other) {
  if (other.bins_.empty()) return;
  bins_.resize(kBins);
  for (std::size_t i = 0; i < kBins; ++i) bins_[i] += other.bins_[i];
  total_ += other.total_;
}

std::int64_t RttTally::percentile_us(int percent) const {
  if (total_ == 0) return 0;
  const auto wanted = static_cast<__int128>(total_) * percent;
  __int128 sum = 0;
  for (std::size_t i = 0; i < kBins; ++i) {
    sum += bins_[i];
    if (sum * 100 >= wanted) return static_cast<std::int64_t>(i + 1) * kBinUs;
  }
  return static_cast<std::int64_t>(kBins) * kBinUs;
}

std::int64_t RttTally::within_permille(std::int64_t rtt_us) const {
  if (total_ == 0) return 0;
  std::int64_t sum = 0;
  for (std::size_t i = 0; i <= bin_of(rtt_us); ++i) sum += bins_[i];
  return static_cast<std::int64_t>(static_cast<__int128>(sum) * 1000 / total_);
}

}  // namespace icon::simulate
