#include "budget/promise_record.h"

#include <algorithm>
#include <utility>

namespace icon::budget {
namespace {

constexpr std::int64_t kPermille = 1'000;
// Everybody starts with one promise kept.
constexpr std::int64_t kPriorWeight = kPermille;
// Less than this was not enough to want to say whether it was given.
constexpr std::int64_t kCpuWantedMinUs = 1'000'000;
constexpr std::int64_t kSumMax = std::int64_t{1} << 60;

std::int64_t ratio_permille(std::int64_t part, std::int64_t whole) {
  __extension__ using Wide = __int128;
  if (whole <= 0) return kPermille;
  return static_cast<std::int64_t>(std::clamp<Wide>(Wide(part) * kPermille / whole, 0, kPermille));
}

// Half of it after a half-life, straight lines in between.
std::int64_t faded(std::int64_t amount, std::int64_t age_ms) {
  const auto halves = std::clamp<std::int64_t>(age_ms / kRecordHalfLifeMs, 0, 40);
  amount >>= halves;
  return amount -
         amount * (std::max<std::int64_t>(0, age_ms) % kRecordHalfLifeMs) / (2 * kRecordHalfLifeMs);
}

void grow(std::int64_t& sum, std::int64_t more) {
  sum = std::min(kSumMax, sum + std::clamp<std::int64_t>(more, 0, kSumMax));
}

void count(std::int64_t& counter) { counter = std::min(kRecordCountMax, counter + 1); }

// A guess that was not sure of itself accuses less when it fails.
std::int64_t weight_of(const Promise& promise) {
  std::int64_t connections = 0, sure = 0;
  for (const auto& prefix : promise.prefixes) {
    connections += prefix.connections;
    sure += prefix.connections * prefix.confidence;
  }
  return connections > 0 ? sure * (kPermille / kCertain) / connections : kPermille;
}

// Whether anything can be said about this stay yet.
bool tells(const Promise& promise) {
  return promise.state != PromiseState::kOpen || promise.down_ms > 0;
}

}  // namespace

std::string_view to_string(PromiseState state) {
  switch (state) {
    case PromiseState::kKept:
      return "kept";
    case PromiseState::kBroken:
      return "broken";
    case PromiseState::kOpen:
      break;
  }
  return "open";
}

std::int64_t kept_permille(const Promise& promise) {
  std::int64_t kept = kPermille;
  if (promise.state != PromiseState::kOpen && promise.before_us > promise.promised_us)
    kept = ratio_permille(promise.before_us - promise.delivered_us,
                          promise.before_us - promise.promised_us);
  if (promise.cpu_wanted_us >= kCpuWantedMinUs)
    kept = kept * ratio_permille(promise.cpu_got_us, promise.cpu_wanted_us) / kPermille;
  kept = kept * ratio_permille(promise.up_ms, promise.up_ms + promise.down_ms) / kPermille;
  if (promise.paid_ucredits > promise.price_ucredits)
    kept = kept * ratio_permille(promise.price_ucredits, promise.paid_ucredits) / kPermille;
  return kept;
}

ProviderRecord& PromiseRecord::record_of(const std::string& id, const std::string& name,
                                         UtcMillis now_ms) {
  const auto found = providers_.find(id);
  if (found == providers_.end() && providers_.size() >= kRecordProvidersMax) {
    const auto oldest = std::min_element(
        providers_.begin(), providers_.end(),
        [](const auto& a, const auto& b) { return a.second.last_ms < b.second.last_ms; });
    providers_.erase(oldest);
  }
  auto& record = providers_[id];
  record.id = id;
  if (!name.empty()) record.name = name;
  record.last_ms = std::max(record.last_ms, now_ms);
  return record;
}

void PromiseRecord::open(Promise promise) {
  close(promise.since_ms);
  if (promise.prefixes.size() > kRecordPrefixesMax) promise.prefixes.resize(kRecordPrefixesMax);
  for (auto& prefix : promise.prefixes)
    prefix.connections = std::clamp<std::int64_t>(prefix.connections, 0, kRecordConnectionsMax);
  here_ = std::move(promise);
  record_of(here_->provider_id, here_->provider_name, here_->since_ms);
}

void PromiseRecord::close(UtcMillis now_ms) {
  if (!here_) return;
  const Promise ended = *std::exchange(here_, std::nullopt);
  auto& record = record_of(ended.provider_id, ended.provider_name, 0);
  const auto age_ms = record.newest.since_ms > 0 ? now_ms - record.last_ms : 0;
  record.weight = faded(record.weight, age_ms);
  record.score = faded(record.score, age_ms);
  record.last_ms = now_ms;
  record.newest = ended;
  count(record.stays);
  if (ended.state == PromiseState::kKept) count(record.kept);
  if (ended.state == PromiseState::kBroken) count(record.broken);
  if (!tells(ended)) return;
  const auto weight = weight_of(ended);
  record.weight = std::min(kRecordCountMax, record.weight + weight);
  record.score = std::min(record.weight, record.score + weight * kept_permille(ended) / kPermille);
}

void PromiseRecord::saw(const std::string& provider_id, const std::string& name,
                        const Prefix& prefix, std::int64_t rtt_us, UtcMillis now_ms) {
  if (provider_id.empty() || rtt_us <= 0) return;
  const bool known = providers_.contains(provider_id);
  auto& record = known ? providers_.at(provider_id) : record_of(provider_id, name, now_ms);
  if (record.delivered.size() >= kRecordPrefixesMax && !record.delivered.contains(prefix)) {
    const auto oldest = std::min_element(
        record.delivered.begin(), record.delivered.end(),
        [](const auto& a, const auto& b) { return a.second.at_ms < b.second.at_ms; });
    record.delivered.erase(oldest);
  }
  record.delivered[prefix] = {std::min(rtt_us, kRttUsMax), now_ms};
}

void PromiseRecord::passed(std::int64_t up_ms, std::int64_t down_ms, const HostUse& use) {
  if (!here_) return;
  grow(here_->up_ms, up_ms);
  grow(here_->down_ms, down_ms);
  grow(here_->cpu_wanted_us, use.cpu_wanted_us);
  grow(here_->cpu_got_us, std::min(use.cpu_got_us, use.cpu_wanted_us));
  here_->bandwidth_seen_bps = std::max(here_->bandwidth_seen_bps, use.bandwidth_bps);
}

void PromiseRecord::paid(MicroCredits amount) {
  if (here_) grow(here_->paid_ucredits, amount);
}

void PromiseRecord::look_at_users() {
  const auto record = providers_.find(here_->provider_id);
  std::int64_t connections = 0, before = 0, promised = 0, delivered = 0;
  for (const auto& prefix : here_->prefixes) {
    if (record == providers_.end()) break;
    const auto seen = record->second.delivered.find(prefix.prefix);
    if (seen == record->second.delivered.end() || seen->second.at_ms <= here_->since_ms) continue;
    connections += prefix.connections;
    before += prefix.connections * prefix.before_us;
    promised += prefix.connections * prefix.promised_us;
    delivered += prefix.connections * seen->second.rtt_us;
  }
  here_->delivered_us = 0;
  if (connections <= 0) return;
  here_->before_us = before / connections;
  here_->promised_us = promised / connections;
  here_->delivered_us = std::max<std::int64_t>(1, delivered / connections);
}

std::optional<PromiseState> PromiseRecord::judge(const PromisePolicy& policy, UtcMillis now_ms) {
  if (!here_ || here_->state != PromiseState::kOpen) return std::nullopt;
  look_at_users();
  if (here_->delivered_us == 0 || now_ms - here_->since_ms < policy.window_ms) return std::nullopt;
  const auto gain = here_->before_us - here_->promised_us;
  const bool kept = gain <= 0 || ratio_permille(here_->before_us - here_->delivered_us, gain) >=
                                     policy.keep * (kPermille / kCertain);
  here_->state = kept ? PromiseState::kKept : PromiseState::kBroken;
  return here_->state;
}

std::int64_t PromiseRecord::trust(const std::string& provider_id, UtcMillis now_ms) const {
  std::int64_t weight = kPriorWeight, score = kPriorWeight;
  if (const auto found = providers_.find(provider_id); found != providers_.end()) {
    const auto age_ms = now_ms - found->second.last_ms;
    weight += faded(found->second.weight, age_ms);
    score += faded(found->second.score, age_ms);
  }
  if (here_ && here_->provider_id == provider_id && tells(*here_)) {
    weight += weight_of(*here_);
    score += weight_of(*here_) * kept_permille(*here_) / kPermille;
  }
  return std::clamp<std::int64_t>(score * kCertain / weight, 0, kCertain);
}

const std::map<Prefix, DeliveredRtt>* PromiseRecord::delivered(
    const std::string& provider_id) const {
  const auto found = providers_.find(provider_id);
  return found == providers_.end() ? nullptr : &found->second.delivered;
}

}  // namespace icon::budget
