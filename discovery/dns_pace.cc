#include "discovery/dns_pace.h"

#include <algorithm>

namespace icon::discovery {
namespace {

constexpr double kBackOff = 0.6;
constexpr Millis kRoundTripMin{5};  // a burst that overflows a socket is one event

}  // namespace

void DnsPace::on_answer(Micros rtt, bool crowded) {
  if (smoothed_ == Micros(0)) {
    smoothed_ = std::max(rtt, Micros(1));
    variation_ = rtt / 2;
  } else {
    variation_ += (std::chrono::abs(rtt - smoothed_) - variation_) / 4;
    smoothed_ = std::max(smoothed_ + (rtt - smoothed_) / 8, Micros(1));
  }
  if (!crowded) return;
  window_ += starting_ ? 1.0 : 1.0 / window_;
  window_ = std::min(window_, static_cast<double>(limits_.window_max));
}

void DnsPace::on_lost(SteadyTime now) {
  if (now < deaf_until_) return;
  starting_ = false;
  window_ = std::max(window_ * kBackOff, static_cast<double>(limits_.window_min));
  deaf_until_ = now + std::max(std::chrono::duration_cast<Micros>(wait()), Micros(kRoundTripMin));
}

Millis DnsPace::wait() const {
  if (smoothed_ == Micros(0)) return std::max(limits_.wait_min, limits_.wait_max / 2);
  const auto wait = std::chrono::ceil<Millis>(smoothed_ + 4 * variation_);
  return std::clamp(wait, limits_.wait_min, limits_.wait_max);
}

}  // namespace icon::discovery
