#include "discovery/resolver.h"

#include <algorithm>

namespace icon::discovery {

Task<Result<Answer>> Resolver::ptr(Address address) {
  return query(reverse_name(address), RecordType::kPtr);
}

CachingResolver::CachingResolver(Resolver& inner, const Clock& clock, CacheLimits limits)
    : inner_(inner), clock_(clock), limits_(limits) {}

Task<Result<Answer>> CachingResolver::query(std::string name, RecordType type) {
  ICON_CO_TRY(std::string normal, normalise_name(name));
  std::string key = std::string(to_string(type)) + ' ' + normal;
  if (const auto found = index_.find(key); found != index_.end()) {
    if (clock_.steady() < found->second->expires) {
      entries_.splice(entries_.begin(), entries_, found->second);
      ++hits_;
      co_return found->second->answer;
    }
    entries_.erase(found->second);
    index_.erase(found);
  }
  auto answer = co_await inner_.query(std::move(normal), type);
  if (answer) remember(std::move(key), *answer);
  co_return answer;
}

void CachingResolver::remember(std::string key, const Answer& answer) {
  const std::uint32_t longest = answer.empty() ? limits_.negative_ttl_s_max : limits_.ttl_s_max;
  const std::uint32_t ttl_s =
      std::clamp(answer.ttl_s, std::min(limits_.ttl_s_min, longest), longest);
  const SteadyTime expires = clock_.steady() + std::chrono::seconds(ttl_s);
  // Two queries for one name may have been under way at once.
  if (const auto found = index_.find(key); found != index_.end()) {
    entries_.erase(found->second);
    index_.erase(found);
  }
  entries_.push_front({key, answer, expires});
  index_.emplace(std::move(key), entries_.begin());
  while (entries_.size() > limits_.entries_max) {
    index_.erase(entries_.back().key);
    entries_.pop_back();
  }
}

}  // namespace icon::discovery
