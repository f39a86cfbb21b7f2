#include "budget/utility.h"

#include <algorithm>

namespace icon::budget {
namespace {

constexpr std::int64_t kMillisPerHour = 3'600'000;
constexpr std::int64_t kHorizonMsMax = 366LL * 24 * kMillisPerHour;

MicroCredits saturated(__int128 value) {
  return static_cast<MicroCredits>(
      std::clamp(value, -static_cast<__int128>(kUtilityMax), static_cast<__int128>(kUtilityMax)));
}

}  // namespace

MicroCredits ValueCurve::value(std::int64_t rtt_us) const {
  if (rtt_us < 0 || rtt_us >= zero_us) return 0;
  if (rtt_us <= objective_us) return full_ucredits;
  return static_cast<MicroCredits>(static_cast<__int128>(full_ucredits) * (zero_us - rtt_us) /
                                   (zero_us - objective_us));
}

ValueCurve make_value_curve(std::int64_t objective_us, MicroCredits value_per_connection_hour,
                            std::int64_t horizon_ms) {
  ValueCurve curve;
  curve.objective_us = std::clamp<std::int64_t>(objective_us, 1, kRttUsMax);
  curve.zero_us = curve.objective_us * kZeroValueMultiple;
  const auto value = std::clamp<MicroCredits>(value_per_connection_hour, 0, kMicroCreditsMax);
  const auto horizon = std::clamp<std::int64_t>(horizon_ms, 0, kHorizonMsMax);
  curve.full_ucredits = saturated(static_cast<__int128>(value) * horizon / kMillisPerHour);
  return curve;
}

MicroCredits demand_value(const ValueCurve& curve, std::int64_t connections,
                          std::optional<std::int64_t> rtt_us) {
  if (!rtt_us || connections <= 0) return 0;
  return saturated(static_cast<__int128>(connections) * curve.value(*rtt_us));
}

MicroCredits utility(const ValueCurve& curve, std::span<const PrefixDemand> prefixes,
                     std::span<const MicroCredits> prices_over_horizon) {
  MicroCredits sum = 0;
  for (const auto& prefix : prefixes) {
    std::optional<std::int64_t> best;
    for (const auto& rtt_us : prefix.rtt_us)
      if (rtt_us && (!best || *rtt_us < *best)) best = rtt_us;
    sum = saturating_add(sum, demand_value(curve, prefix.connections, best));
  }
  for (const auto price : prices_over_horizon) sum = saturating_add(sum, -price);
  return sum;
}

MicroCredits saturating_add(MicroCredits a, MicroCredits b) {
  return saturated(static_cast<__int128>(a) + b);
}

MicroCredits saturated_scale(MicroCredits amount, std::int64_t numerator,
                             std::int64_t denominator) {
  return saturated(static_cast<__int128>(amount) * numerator / denominator);
}

std::int64_t slots_for(std::int64_t horizon_ms, std::int64_t slot_seconds) {
  if (slot_seconds <= 0) return 0;
  const auto horizon = std::clamp<std::int64_t>(horizon_ms, 1, kHorizonMsMax);
  const auto slot_ms = std::min(slot_seconds, wire::kSlotSecondsMax) * 1000;
  return (horizon + slot_ms - 1) / slot_ms;
}

MicroCredits price_over_horizon(MicroCredits price_per_slot, std::int64_t slots) {
  return saturated(static_cast<__int128>(price_per_slot) * slots);
}

}  // namespace icon::budget
