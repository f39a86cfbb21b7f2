#include <algorithm>
#include <random>

#include "discovery/provider_source.h"

namespace icon::discovery {

std::vector<SrvRecord> order_srv(std::vector<SrvRecord> records, std::uint64_t seed) {
  // By priority and, as RFC 2782 asks, weight 0 first; the rest of the comparison makes the result
  // independent of the order in which the records came.
  std::sort(records.begin(), records.end());
  std::mt19937_64 random(seed);
  std::vector<SrvRecord> ordered;
  ordered.reserve(records.size());
  while (!records.empty()) {
    const auto group_end = std::find_if(
        records.begin(), records.end(),
        [&](const SrvRecord& record) { return record.priority != records.front().priority; });
    std::uint64_t sum = 0;
    for (auto record = records.begin(); record != group_end; ++record) sum += record->weight;
    // 0 .. sum: a record of weight 0 has a small chance too. The bias of % is below 2^-40.
    std::uint64_t draw = random() % (sum + 1);
    auto chosen = records.begin();
    while (chosen + 1 != group_end && draw > chosen->weight) {
      draw -= chosen->weight;
      ++chosen;
    }
    ordered.push_back(std::move(*chosen));
    records.erase(chosen);
  }
  return ordered;
}

}  // namespace icon::discovery
