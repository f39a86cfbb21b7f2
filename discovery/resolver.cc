#include "discovery/resolver.h"

#include <algorithm>
#include <iterator>

namespace icon::discovery {
namespace {

// What an entry costs, nearly: both copies of the key, list and table nodes, the records.
std::size_t bytes_of(const std::string& key, const Answer& answer) {
  std::size_t bytes = 2 * key.size() + sizeof(Answer) + 128;
  bytes += answer.addresses.size() * sizeof(Address) + answer.srv.size() * sizeof(SrvRecord);
  for (const auto& record : answer.srv) bytes += record.target.size();
  for (const auto* list : {&answer.names, &answer.texts, &answer.cut})
    for (const auto& text : *list) bytes += sizeof(std::string) + text.size();
  return bytes;
}

}  // namespace

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
    forget(found->second);
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
  if (const auto found = index_.find(key); found != index_.end()) forget(found->second);
  const std::size_t bytes = bytes_of(key, answer);
  entries_.push_front({key, answer, expires, bytes});
  index_.emplace(std::move(key), entries_.begin());
  bytes_ += bytes;
  while (entries_.size() > limits_.entries_max || bytes_ > limits_.bytes_max)
    forget(std::prev(entries_.end()));
}

void CachingResolver::forget(Place place) {
  bytes_ -= place->bytes;
  index_.erase(place->key);
  entries_.erase(place);
}

}  // namespace icon::discovery
