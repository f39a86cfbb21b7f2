#include "discovery/dht_source.h"

#include <algorithm>
#include <map>
#include <utility>

#include "wire/advertisement.h"

namespace icon::discovery {
namespace {

// What is looked for, and through which hop; the users' own networks first.
class Wanted {
 public:
  Wanted(const Surroundings& around, std::size_t keys_max) : keys_max_(keys_max) {
    for (const std::size_t size : {0u, 1u})
      for (const Address& user : around.users) add({user, 0, 0}, size);
    for (const std::size_t size : {0u, 1u})
      for (const PathHop& hop : around.hops) add(hop, size);
  }
  const std::vector<std::string>& keys() const { return keys_; }
  std::size_t left_out() const { return left_out_; }
  // Null: nobody asked for it.
  const PathHop* hop(const std::string& key) const {
    const auto found = hops_.find(key);
    return found == hops_.end() ? nullptr : &found->second;
  }

 private:
  void add(const PathHop& hop, std::size_t size) {
    if (hop.address.is_non_public()) return;
    const std::string key = wire::advertised_networks(hop.address)[size].to_string();
    if (const auto known = hops_.find(key); known != hops_.end()) {
      if (hop.ttl > known->second.ttl) known->second = hop;
    } else if (keys_.size() < keys_max_) {
      hops_.emplace(key, hop);
      keys_.push_back(key);
    } else {
      ++left_out_;
    }
  }

  std::size_t keys_max_;
  std::size_t left_out_ = 0;
  std::vector<std::string> keys_;
  std::map<std::string, PathHop> hops_;
};

}  // namespace

Task<Findings> DhtProviderSource::find(Surroundings around) {
  Findings findings;
  const auto reject = [&](std::string subject, std::string reason) {
    if (findings.rejected.size() < limits_.rejections_max)
      findings.rejected.push_back({std::move(subject), std::move(reason)});
  };
  const Wanted wanted(around, limits_.keys_max);
  if (wanted.left_out() > 0)
    reject("dht", "only " + std::to_string(limits_.keys_max) + " networks are looked up");
  if (wanted.keys().empty()) co_return findings;
  std::vector<std::string> keys = wanted.keys();
  auto values = co_await lookup_.values(std::move(keys));
  if (!values) {
    reject("dht", values.error().message);
    co_return findings;
  }
  if (values->size() > limits_.values_max) {
    reject("dht", "only " + std::to_string(limits_.values_max) + " of " +
                      std::to_string(values->size()) + " advertisements are read");
    values->resize(limits_.values_max);
  }
  for (const DhtValue& value : *values) {
    const PathHop* hop = wanted.hop(value.key);
    if (hop == nullptr) {
      reject("dht", "an answer to another question");
      continue;
    }
    auto candidate = read_advertisement(value, clock_.utc_ms());
    if (!candidate) {
      reject("dht " + value.key, candidate.error().message);
    } else if (findings.providers.size() < limits_.providers_max) {
      candidate->hop_ttl = hop->ttl;
      candidate->hop_rtt_us = hop->rtt_us;
      findings.providers.push_back(std::move(*candidate));
    }
  }
  merge_providers(findings.providers, findings.rejected);
  co_return findings;
}

}  // namespace icon::discovery
