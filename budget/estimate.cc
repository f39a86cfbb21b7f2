#include "budget/estimate.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace icon::budget {
namespace {

constexpr std::array<std::pair<EstimateBasis, std::string_view>, 6> kNames{{
    {EstimateBasis::kDelivered, "delivered"},
    {EstimateBasis::kMeasured, "measured"},
    {EstimateBasis::kOnPath, "on_path"},
    {EstimateBasis::kConfigured, "configured"},
    {EstimateBasis::kViaHere, "via_here"},
    {EstimateBasis::kNone, "none"},
}};

bool plausible(std::optional<std::int64_t> rtt_us) {
  return rtt_us && *rtt_us >= 0 && *rtt_us <= kRttUsMax;
}

// Percent. A guess from one side of the path is worth half of a certainty; the provider's own word
// more, most when both agree.
constexpr std::int64_t kDeliveredSure = 95;
constexpr std::int64_t kDeliveredSureAtLast = 50;
constexpr std::int64_t kPingSure = 80;
constexpr std::int64_t kPingAgreesSure = 90;
constexpr std::int64_t kPingDiffersSure = 60;
constexpr std::int64_t kOnPathSure = 50;
constexpr std::int64_t kOnPathLateSure = 40;
constexpr std::int64_t kAsymmetricSure = 20;
constexpr std::int64_t kContradictedSure = 15;
constexpr std::int64_t kConfiguredSure = 80;
constexpr std::int64_t kViaHereSure = 70;

// Two measurements of the same way differ by so much, whatever the network: access links, load.
constexpr std::int64_t kSlackUs = 2'000;

RttEstimate estimate(EstimateBasis basis, std::int64_t rtt_us, std::int64_t sure,
                     std::string detail) {
  return {basis, std::clamp(rtt_us, kRttFloorUs, kRttUsMax), sure, std::move(detail)};
}

std::string ms(std::int64_t us) { return fmt::format("{}.{} ms", us / 1000, us % 1000 / 100); }

bool later(std::int64_t a_us, std::int64_t b_us) { return a_us > b_us + b_us / 10 + kSlackUs; }

struct HopDistance {
  std::int64_t rtt_us = 0;
  std::int64_t sure = kOnPathSure;
  std::string doubt;
};

// nullopt when neither the hop nor anything behind it answered: then the user's own rtt would be
// the bound, and the estimate would be 0 for every provider.
std::optional<HopDistance> distance_to_hop(const EstimateInput& input) {
  std::optional<std::int64_t> nearest, first;
  int first_ttl = 0;
  for (const auto& hop : input.hops) {
    if (hop.ttl < *input.provider_ttl || !plausible(hop.rtt_us)) continue;
    nearest = std::min(nearest.value_or(hop.rtt_us), hop.rtt_us);
    if (first && first_ttl <= hop.ttl) continue;
    first = hop.rtt_us;
    first_ttl = hop.ttl;
  }
  if (!nearest) return std::nullopt;
  HopDistance distance{std::min(*nearest, input.user_rtt_us), kOnPathSure, {}};
  if (later(*nearest, input.user_rtt_us)) {
    // Not even what lies behind it is nearer than the user: the ways back differ.
    distance.sure = kAsymmetricSure;
    distance.doubt = fmt::format("; but its hop is at {}, farther than the user", ms(*nearest));
  } else if (later(*first, *nearest)) {
    distance.sure = kOnPathLateSure;
    distance.doubt = "; its hop answers late";
  }
  return distance;
}

std::optional<RttEstimate> on_path(const EstimateInput& input) {
  if (!input.provider_ttl || !plausible(input.user_rtt_us)) return std::nullopt;
  const auto hop = distance_to_hop(input);
  if (!hop) return std::nullopt;
  const auto detour = plausible(input.provider_connect_rtt_us)
                          ? std::max<std::int64_t>(0, *input.provider_connect_rtt_us - hop->rtt_us)
                          : 0;
  auto guess = estimate(EstimateBasis::kOnPath, input.user_rtt_us - hop->rtt_us + detour, hop->sure,
                        fmt::format("{} to the user less {} to hop {}", ms(input.user_rtt_us),
                                    ms(hop->rtt_us), *input.provider_ttl));
  if (detour > 0) guess.detail += fmt::format(", {} off the path", ms(detour));
  guess.detail += hop->doubt;
  return guess;
}

// The provider's word, beside what is known from here.
RttEstimate measured(const EstimateInput& input, const std::optional<RttEstimate>& guess) {
  const auto rtt_us = *input.measured_rtt_us;
  auto ping =
      estimate(EstimateBasis::kMeasured, rtt_us, kPingSure, fmt::format("it says {}", ms(rtt_us)));
  if (guess) {
    const bool agrees = !later(rtt_us, *guess->rtt_us) && !later(*guess->rtt_us, rtt_us);
    ping.confidence = agrees ? kPingAgreesSure : kPingDiffersSure;
    ping.detail += fmt::format("; {} by the path", ms(*guess->rtt_us));
  }
  // The way by the provider is a way, too. Routing is not perfect, but who is near here and says
  // that he is near those who are far from here is hardly right.
  if (plausible(input.provider_connect_rtt_us) && plausible(input.user_rtt_us) &&
      later(input.user_rtt_us, 2 * (rtt_us + *input.provider_connect_rtt_us))) {
    ping.confidence = kContradictedSure;
    ping.detail += fmt::format("; but from here the user is at {} and it at {}",
                               ms(input.user_rtt_us), ms(*input.provider_connect_rtt_us));
  }
  return ping;
}

RttEstimate delivered(const EstimateInput& input) {
  const auto age_ms = std::max<std::int64_t>(0, input.delivered_age_ms);
  const auto sure =
      kDeliveredSure - (kDeliveredSure - kDeliveredSureAtLast) * age_ms / kDeliveredAgeMaxMs;
  return estimate(EstimateBasis::kDelivered, *input.delivered_rtt_us, sure,
                  fmt::format("measured there {} min ago", age_ms / 60'000));
}

RttEstimate estimate_untrusting(const EstimateInput& input) {
  const auto guess = on_path(input);
  if (plausible(input.measured_rtt_us)) return measured(input, guess);
  if (guess) return *guess;
  if (plausible(input.configured_rtt_us))
    return estimate(EstimateBasis::kConfigured, *input.configured_rtt_us, kConfiguredSure, {});
  if (plausible(input.provider_connect_rtt_us) && plausible(input.user_rtt_us))
    return estimate(EstimateBasis::kViaHere, input.user_rtt_us + *input.provider_connect_rtt_us,
                    kViaHereSure, {});
  return {};
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
  if (plausible(input.delivered_rtt_us) && input.delivered_age_ms <= kDeliveredAgeMaxMs)
    return delivered(input);
  auto made = estimate_untrusting(input);
  if (made.basis == EstimateBasis::kNone) return made;
  const auto trust = std::clamp<std::int64_t>(input.trust, 0, kCertain);
  made.confidence = made.confidence * trust / kCertain;
  if (trust < kCertain) {
    if (!made.detail.empty()) made.detail += "; ";
    made.detail += fmt::format("it kept {} % of what it promised", trust);
  }
  return made;
}

}  // namespace icon::budget
