#include "agent/latency_table.h"

#include <algorithm>

namespace icon::agent {
namespace {

constexpr std::size_t kSamplesPerPrefixMin = 4;
constexpr std::size_t kEvictedPart = 8;  // of the table at once: looking for the oldest takes time
constexpr Millis kTick{16};

// Goes round in two years; differences are what counts.
std::uint32_t tick_of(SteadyTime at) {
  return static_cast<std::uint32_t>(at.time_since_epoch() / kTick);
}

// Nearest rank.
std::uint32_t percentile_of(const std::vector<std::uint32_t>& sorted, int percentile) {
  if (sorted.empty()) return 0;
  const std::size_t percent = static_cast<std::size_t>(std::clamp(percentile, 1, 100));
  const std::size_t rank = (sorted.size() * percent + 99) / 100;
  return sorted[rank - 1];
}

}  // namespace

// Null: there is no room.
LatencyTable::Entry* LatencyTable::entry_of(const Address& user, SteadyTime now) {
  const Prefix prefix = Prefix::of_user(user);
  auto found = entries_.find(prefix);
  if (found == entries_.end()) {
    if (entries_.size() >= limits_.prefixes_max && !make_room()) return nullptr;
    found = entries_.emplace(prefix, Entry{}).first;
    found->second.slot_start = now;
  }
  found->second.representative = user;
  found->second.seen = now;
  return &found->second;
}

// Those without a connection go, oldest first. A prefix with one stays: with more of them than fit,
// each dump would otherwise throw out what the one before it has learnt.
bool LatencyTable::make_room() {
  if (full_) return false;
  std::vector<std::map<Prefix, Entry>::iterator> unused;
  for (auto it = entries_.begin(); it != entries_.end(); ++it)
    if (it->second.open == 0 && it->second.open_counting == 0) unused.push_back(it);
  full_ = unused.empty();
  if (full_) return false;
  const auto count = std::clamp<std::size_t>(limits_.prefixes_max / kEvictedPart, 1, unused.size());
  const auto end = unused.begin() + static_cast<std::ptrdiff_t>(count);
  std::nth_element(unused.begin(), end - 1, unused.end(),
                   [](const auto& a, const auto& b) { return a->second.seen < b->second.seen; });
  std::for_each(unused.begin(), end, [this](const auto& it) { entries_.erase(it); });
  return true;
}

std::size_t LatencyTable::samples_max() const {
  const std::size_t share = limits_.samples_shared_max / std::max<std::size_t>(1, entries_.size());
  return std::min(limits_.samples_per_prefix_max, std::max(kSamplesPerPrefixMin, share));
}

void LatencyTable::begin_dump() {
  for (auto& [prefix, entry] : entries_) entry.open_counting = entry.active_counting = 0;
  if (!started_) since_ = clock_.steady();
  started_ = true;
  full_ = false;
}

void LatencyTable::add(const TcpSample& sample) {
  const SteadyTime now = clock_.steady();
  Entry* const room = entry_of(sample.user, now);
  if (room == nullptr) return;
  Entry& entry = *room;
  if (sample.ended)
    count_ended(entry, now);
  else
    ++entry.open_counting;
  const std::uint32_t rtt_us = sample.min_rtt_us != 0 ? sample.min_rtt_us : sample.rtt_us;
  if (sample.idle > (rtt_us != 0 ? limits_.active_max : limits_.unproved_active_max)) return;
  if (!sample.ended) ++entry.active_counting;
  if (rtt_us == 0) return;
  if (entry.ring.size() < samples_max()) {
    entry.ring.push_back({tick_of(now), rtt_us});
    return;
  }
  entry.ring[entry.next] = {tick_of(now), rtt_us};
  entry.next = (entry.next + 1) % static_cast<std::uint32_t>(entry.ring.size());
}

void LatencyTable::count_ended(Entry& entry, SteadyTime now) const {
  const auto elapsed = now - entry.slot_start;
  if (elapsed >= limits_.window) {
    entry.ended_before = elapsed < 2 * limits_.window ? entry.ended_now : 0;
    entry.ended_now = 0;
    entry.slot_start = now;
  }
  ++entry.ended_now;
}

std::int64_t LatencyTable::ended_in_window(const Entry& entry, SteadyTime now) const {
  const auto elapsed = now - entry.slot_start;
  if (elapsed >= 2 * limits_.window) return 0;
  if (elapsed >= limits_.window) return entry.ended_now;
  // The part of the previous slot that the window still covers.
  const auto left = limits_.window - elapsed;
  return std::int64_t{entry.ended_now} + std::int64_t{entry.ended_before} * left.count() /
                                             SteadyTime::duration(limits_.window).count();
}

void LatencyTable::end_dump() {
  const SteadyTime now = clock_.steady();
  for (auto it = entries_.begin(); it != entries_.end();) {
    Entry& entry = it->second;
    entry.open = entry.open_counting;
    entry.active = entry.active_counting;
    it = entry.open == 0 && now - entry.seen > limits_.window ? entries_.erase(it) : std::next(it);
  }
}

void LatencyTable::reset() {
  entries_.clear();
  started_ = full_ = false;
}

std::vector<std::uint32_t> LatencyTable::recent(const Entry& entry, SteadyTime now) const {
  std::vector<std::uint32_t> values;
  values.reserve(entry.ring.size());
  for (const Sample& sample : entry.ring)
    if (static_cast<std::int32_t>(tick_of(now) - sample.tick) <= limits_.window / kTick)
      values.push_back(sample.rtt_us);
  std::sort(values.begin(), values.end());
  return values;
}

std::vector<PrefixLatency> LatencyTable::snapshot() const {
  const SteadyTime now = clock_.steady();
  std::vector<PrefixLatency> prefixes;
  prefixes.reserve(entries_.size());
  for (const auto& [prefix, entry] : entries_) {
    const auto values = recent(entry, now);
    PrefixLatency view;
    view.prefix = prefix;
    view.representative = entry.representative;
    view.connections = entry.open;
    view.weight = entry.active + ended_in_window(entry, now);
    view.samples = static_cast<std::int64_t>(values.size());
    view.rtt_us_p50 = percentile_of(values, 50);
    view.rtt_us_p95 = percentile_of(values, 95);
    if (view.connections > 0 || view.weight > 0 || view.samples > 0) prefixes.push_back(view);
  }
  std::stable_sort(prefixes.begin(), prefixes.end(),
                   [](const auto& a, const auto& b) { return a.weight > b.weight; });
  return prefixes;
}

std::uint32_t LatencyTable::rtt_us_at(const Prefix& prefix, int percentile) const {
  const auto found = entries_.find(prefix);
  if (found == entries_.end()) return 0;
  return percentile_of(recent(found->second, clock_.steady()), percentile);
}

Millis LatencyTable::age() const {
  if (!started_) return Millis{0};
  return std::chrono::duration_cast<Millis>(clock_.steady() - since_);
}

}  // namespace icon::agent
