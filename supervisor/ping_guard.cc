#include "supervisor/ping_guard.h"

#include <algorithm>

namespace icon::supervisor {
namespace {

constexpr std::int64_t kThousand = 1'000;
constexpr std::int64_t kMinuteMs = 60'000;
// A full table is looked through at most so often: a stranger must not make that expensive.
constexpr Millis kSweepInterval{1'000};

}  // namespace

void PingBuckets::refill(Level& level, SteadyTime now) const {
  const auto elapsed_ms = std::chrono::duration_cast<Millis>(now - level.at).count();
  const std::int64_t full = quota_.burst * kThousand;
  // Longer than it takes to fill: no product that could overflow.
  const std::int64_t to_fill_ms =
      quota_.per_minute > 0 ? quota_.burst * kMinuteMs / quota_.per_minute + 1 : 0;
  if (quota_.per_minute > 0 && elapsed_ms >= to_fill_ms) {
    level.thousandths = full;
  } else if (elapsed_ms > 0) {
    const std::int64_t more = elapsed_ms * quota_.per_minute * kThousand / kMinuteMs;
    if (more == 0) return;  // the rest of a thousandth must not get lost
    level.thousandths = std::min(full, level.thousandths + more);
  } else {
    return;
  }
  level.at = now;
}

void PingBuckets::forget_full(SteadyTime now) {
  if (now - swept_ < kSweepInterval) return;
  swept_ = now;
  for (auto it = levels_.begin(); it != levels_.end();) {
    refill(it->second, now);
    it = it->second.thousandths >= quota_.burst * kThousand ? levels_.erase(it) : std::next(it);
  }
}

bool PingBuckets::take(const std::string& key, std::int64_t count, SteadyTime now) {
  auto found = levels_.find(key);
  if (found == levels_.end()) {
    if (levels_.size() >= entries_max_) forget_full(now);
    if (levels_.size() >= entries_max_) return false;
    found = levels_.emplace(key, Level{quota_.burst * kThousand, now}).first;
  }
  refill(found->second, now);
  if (found->second.thousandths < count * kThousand) return false;
  found->second.thousandths -= count * kThousand;
  return true;
}

PingGuard::PingGuard(const Clock& clock, PingGuardLimits limits)
    : clock_(clock),
      limits_(limits),
      keys_(limits.key, limits.entries_max),
      sources_(limits.source, limits.entries_max),
      prefixes_(limits.prefix, limits.entries_max),
      host_(limits.host, 1) {}

Result<std::vector<wire::PingFigure>> PingGuard::admit(const std::string& key,
                                                       const Address& source,
                                                       const std::vector<Address>& targets) {
  const SteadyTime now = clock_.steady();
  const auto count = static_cast<std::int64_t>(targets.size());
  // The source first: keys cost nothing, and a flood of them must not fill the table of keys.
  if (!sources_.take(Prefix::of_user(source).to_string(), count, now))
    return fail(Code::kLimit, "too many pings asked for from this network: ask again in a minute");
  if (!keys_.take(key, count, now))
    return fail(Code::kLimit, "too many pings asked for by this ICON: ask again in a minute");
  std::vector<wire::PingFigure> figures;
  for (const auto& target : targets) figures.push_back(admit_target(target, now));
  return figures;
}

wire::PingFigure PingGuard::admit_target(const Address& target, SteadyTime now) {
  wire::PingFigure figure;
  figure.target = target;
  if (target.is_non_public() && !limits_.private_targets) {
    figure.refused = "not a public address";
    return figure;
  }
  if (const auto known = known_.find(target);
      known != known_.end() && now - known->second.at < limits_.cached)
    return known->second.figure;
  if (!prefixes_.take(Prefix::of_user(target).to_string(), 1, now)) {
    figure.refused = "its network was pinged enough";
  } else if (!host_.take("", 1, now)) {
    figure.refused = "this host pings no faster";
  }
  return figure;
}

void PingGuard::learn(const wire::PingFigure& figure) {
  const SteadyTime now = clock_.steady();
  if (known_.size() >= limits_.entries_max)
    std::erase_if(known_,
                  [&](const auto& entry) { return now - entry.second.at >= limits_.cached; });
  if (known_.size() >= limits_.entries_max) return;
  Known& known = known_[figure.target];
  known.figure = figure;
  // Silence is an answer as well: nobody is knocked at again for it.
  if (!figure.rtt_us) known.figure.refused = "did not answer a moment ago";
  known.at = now;
}

}  // namespace icon::supervisor
