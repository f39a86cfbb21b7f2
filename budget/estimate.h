// How far users would be from a provider that has not served them yet. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "budget/utility.h"

namespace icon::budget {

// Nothing is nearer than this: an estimate of 0 would promise what no network gives.
inline constexpr std::int64_t kRttFloorUs = 200;

// What an estimate rests on, best first.
enum class EstimateBasis {
  kDelivered,   // measured by this ICON when it was there
  kMeasured,    // the provider's own ping of the prefix
  kOnPath,      // RTT(user) - RTT(hop of the provider) + the provider's distance from that hop
  kConfigured,  // the policy says so
  kViaHere,     // no better than going through the present host: RTT(user) + RTT(provider)
  kNone,
};
std::string_view to_string(EstimateBasis basis);
// kNone for a name that is not known.
EstimateBasis estimate_basis(std::string_view name);

inline constexpr std::int64_t kCertain = 100;

struct RttEstimate {
  EstimateBasis basis = EstimateBasis::kNone;
  std::optional<std::int64_t> rtt_us;  // set unless kNone
  // Percent: so much of the gain over the present place is counted. A loss counts in full.
  std::int64_t confidence = kCertain;
  std::string detail = {};  // what it was made of, for `icon explain`
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
  // What this ICON's users had when it was there, and how long ago that was.
  std::optional<std::int64_t> delivered_rtt_us;
  std::int64_t delivered_age_ms = 0;
  // Percent: how far the provider has kept its promises (budget/promise_record.h).
  std::int64_t trust = kCertain;
};

// What was delivered counts for a day, and less with every hour.
inline constexpr std::int64_t kDeliveredAgeMaxMs = 24LL * 3'600'000;

// delivered, else measured, else on-path, else configured, else via here, else none. Routers answer
// probes late under load, so a hop counts as no farther than any hop behind it or the user. A
// provider whose API is farther than its hop sits off the path by the difference, which is added.
// Paths out and back differ: figures that contradict each other never make an estimate negative,
// they make it less certain.
RttEstimate estimate_rtt(const EstimateInput& input);

}  // namespace icon::budget
