// How far users would be from a provider that has not served them yet. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "budget/utility.h"

namespace icon::budget {

// Nothing is nearer than this: an estimate of 0 would promise what no network gives.
inline constexpr std::int64_t kRttFloorUs = 200;

// What an estimate rests on, best first.
enum class EstimateBasis {
  kMeasured,    // the provider's own ping of the prefix
  kOnPath,      // RTT(user) - RTT(hop of the provider) + the provider's distance from that hop
  kConfigured,  // the policy says so
  kViaHere,     // no better than going through the present host: RTT(user) + RTT(provider)
  kNone,
};
std::string_view to_string(EstimateBasis basis);
// kNone for a name that is not known.
EstimateBasis estimate_basis(std::string_view name);

struct RttEstimate {
  EstimateBasis basis = EstimateBasis::kNone;
  std::optional<std::int64_t> rtt_us;  // set unless kNone
};

// One hop of a trace towards a representative user; several probes of one hop: the smallest rtt.
struct HopRtt {
  int ttl = 0;
  std::int64_t rtt_us = 0;
};

struct EstimateInput {
  std::int64_t user_rtt_us = 0;  // measured on the users' own connections
  std::span<const HopRtt> hops;  // any order; hops that did not answer are absent
  // The first hop that belongs to the provider's domain; nullopt: not on this path.
  std::optional<int> provider_ttl;
  // RTT of a connection from here to the provider's API; nullopt: not measured.
  std::optional<std::int64_t> provider_connect_rtt_us;
  std::optional<std::int64_t> configured_rtt_us;
  std::optional<std::int64_t> measured_rtt_us;
};

// measured, else on-path, else configured, else via here, else none. Routers answer probes late
// under load, so a hop counts as no farther than any hop behind it or the user. A provider whose
// API is farther than its hop sits off the path by the difference, which is added.
RttEstimate estimate_rtt(const EstimateInput& input);

}  // namespace icon::budget
