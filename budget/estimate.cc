#include "budget/estimate.h"

#include <algorithm>
#include <array>
#include <utility>

namespace icon::budget {
namespace {

constexpr std::array<std::pair<EstimateBasis, std::string_view>, 5> kNames{{
    {EstimateBasis::kMeasured, "measured"},
    {EstimateBasis::kOnPath, "on_path"},
    {EstimateBasis::kConfigured, "configured"},
    {EstimateBasis::kViaHere, "via_here"},
    {EstimateBasis::kNone, "none"},
}};

bool plausible(std::optional<std::int64_t> rtt_us) {
  return rtt_us && *rtt_us >= 0 && *rtt_us <= kRttUsMax;
}

RttEstimate estimate(EstimateBasis basis, std::int64_t rtt_us) {
  return {basis, std::clamp(rtt_us, kRttFloorUs, kRttUsMax)};
}

// nullopt when neither the hop nor anything behind it answered: then the user's own rtt would be
// the bound, and the estimate would be 0 for every provider.
std::optional<std::int64_t> distance_to_hop(const EstimateInput& input) {
  std::optional<std::int64_t> nearest;
  for (const auto& hop : input.hops)
    if (hop.ttl >= *input.provider_ttl && plausible(hop.rtt_us))
      nearest = std::min(nearest.value_or(hop.rtt_us), hop.rtt_us);
  if (nearest) nearest = std::min(*nearest, input.user_rtt_us);
  return nearest;
}

}  // namespace

std::string_view to_string(EstimateBasis basis) {
  for (const auto& [value, name] : kNames)
    if (value == basis) return name;
  return "none";
}

EstimateBasis estimate_basis(std::string_view name) {
  for (const auto& [value, text] : kNames)
    if (text == name) return value;
  return EstimateBasis::kNone;
}

RttEstimate estimate_rtt(const EstimateInput& input) {
  if (plausible(input.measured_rtt_us))
    return estimate(EstimateBasis::kMeasured, *input.measured_rtt_us);
  if (input.provider_ttl && plausible(input.user_rtt_us)) {
    if (const auto hop = distance_to_hop(input)) {
      const auto detour = plausible(input.provider_connect_rtt_us)
                              ? std::max<std::int64_t>(0, *input.provider_connect_rtt_us - *hop)
                              : 0;
      return estimate(EstimateBasis::kOnPath, input.user_rtt_us - *hop + detour);
    }
  }
  if (plausible(input.configured_rtt_us))
    return estimate(EstimateBasis::kConfigured, *input.configured_rtt_us);
  if (plausible(input.provider_connect_rtt_us) && plausible(input.user_rtt_us))
    return estimate(EstimateBasis::kViaHere, input.user_rtt_us + *input.provider_connect_rtt_us);
  return {};
}

}  // namespace icon::budget
