#include "discovery/path_map.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "discovery/path_tree.h"

namespace icon::discovery {

std::vector<TraceTask> PathMap::due(std::span<const Address> wanted, SteadyTime now) {
  struct Due {
    double urgency;
    TraceTask task;
  };
  std::vector<Due> list;
  std::size_t rank = 0;
  ++dues_;
  for (const Address& user : wanted) {
    Path& path = paths_[user_block(user)];
    // Of several users in one block the first counts.
    if (std::exchange(path.wanted, dues_) == dues_) continue;
    const Millis by_rank = rank < limits_.first_count ? limits_.age_max_first : limits_.age_max;
    const Millis limit = path.holed ? std::min(by_rank, limits_.age_max_holed) : by_rank;
    ++rank;
    const std::chrono::duration<double> age = now - path.traced;
    const bool known = path.traced != SteadyTime{};
    const double urgency = known ? age / limit : std::numeric_limits<double>::infinity();
    if (urgency < 1) continue;
    // One that has answered answers again; another user of the block may have to be found first.
    const Address target = known && path.reached ? path.target : user;
    if (!known) path.target = user;
    list.push_back({urgency, {target, static_cast<int>(path.steps.size())}});
  }
  std::stable_sort(list.begin(), list.end(),
                   [](const Due& a, const Due& b) { return a.urgency > b.urgency; });
  forget_oldest();
  std::vector<TraceTask> tasks;
  tasks.reserve(list.size());
  for (const Due& due : list) tasks.push_back(due.task);
  return tasks;
}

std::uint32_t PathMap::router_number(const Address& address) {
  if (const auto known = numbers_.find(address); known != numbers_.end()) return known->second;
  if (routers_.size() > limits_.routers_max) return 0;
  const auto number = static_cast<std::uint32_t>(routers_.size());
  routers_.emplace_back();
  routers_.back().address = address;
  numbers_.emplace(address, number);
  return number;
}

void PathMap::learn(const TraceResult& result, bool cut, SteadyTime now) {
  Path& path = paths_[user_block(result.target)];
  if (cut && (path.traced != SteadyTime{} || result.hops.empty())) return;
  path.target = result.target;
  path.traced = cut ? SteadyTime{} : now;
  path.method = result.method;
  path.reached = result.reached;
  path.rtt_us = 0;
  path.steps.clear();
  path.steps.reserve(result.hops.size());
  for (const Hop& hop : result.hops) {
    if (result.reached && hop.address == result.target) {
      path.rtt_us = static_cast<std::uint32_t>(hop.rtt_us_min);
      path.back_hops = static_cast<std::uint8_t>(hop.back_hops);
      break;
    }
    Step step{0, static_cast<std::uint8_t>(hop.probes), hop.inferred,
              static_cast<std::uint8_t>(hop.back_hops)};
    if (hop.address) step.router = router_number(*hop.address);
    if (step.router != 0) {
      RouterSeen& router = routers_[step.router];
      router.rtt_us_min = hop.rtt_us_min;
      router.ttl_max = std::max(router.ttl_max, hop.ttl);
      router.balanced = router.balanced || hop.balanced;
    }
    path.steps.push_back(step);
  }
  path.holed = std::any_of(path.steps.begin(), path.steps.end(),
                           [](const Step& step) { return step.router == 0; });
}

void PathMap::learn(const std::vector<RouterSeen>& routers) {
  for (const RouterSeen& seen : routers)
    if (const auto known = numbers_.find(seen.address); known != numbers_.end()) {
      RouterSeen& router = routers_[known->second];
      const RouterSeen before = std::exchange(router, seen);
      router.ttl_max = std::max(before.ttl_max, seen.ttl_max);
      // Not every run looks for load balancing at every router.
      router.balanced = before.balanced || seen.balanced;
      if (router.beside.empty()) router.beside = before.beside;
    }
  if (routers_.size() > limits_.routers_max / 2) forget_unused_routers();
}

std::optional<TraceResult> PathMap::find(const Address& user) const {
  const auto found = paths_.find(user_block(user));
  if (found == paths_.end()) return std::nullopt;
  const Path& path = found->second;
  TraceResult result;
  result.target = path.target;
  result.method = path.method;
  result.reached = path.reached;
  for (const Step& step : path.steps) {
    Hop hop;
    hop.ttl = static_cast<int>(result.hops.size()) + 1;
    hop.probes = step.probes;
    hop.inferred = step.inferred;
    hop.back_hops = step.back_hops;
    if (step.router != 0) {
      const RouterSeen& router = routers_[step.router];
      hop.address = router.address;
      hop.rtt_us_min = router.rtt_us_min;
      hop.balanced = router.balanced;
    }
    result.hops.push_back(hop);
  }
  if (path.reached) {
    Hop last;
    last.ttl = static_cast<int>(result.hops.size()) + 1;
    last.address = path.target;
    last.rtt_us_min = path.rtt_us;
    last.back_hops = path.back_hops;
    last.probes = 1;
    result.hops.push_back(last);
  } else if (path.traced == SteadyTime{}) {
    result.note = "not traced yet";
  }
  return result;
}

std::vector<RouterSeen> PathMap::routers() const { return {routers_.begin() + 1, routers_.end()}; }

void PathMap::clear() {
  paths_.clear();
  numbers_.clear();
  routers_.assign(1, {});
}

void PathMap::forget_oldest() {
  if (paths_.size() <= limits_.blocks_max) return;
  std::vector<std::pair<std::uint32_t, std::uint64_t>> order;
  for (const auto& [block, path] : paths_) order.emplace_back(path.wanted, block);
  std::sort(order.begin(), order.end());
  const std::size_t surplus = paths_.size() - limits_.blocks_max;
  for (std::size_t i = 0; i < surplus; ++i) paths_.erase(order[i].second);
}

void PathMap::forget_unused_routers() {
  std::vector<RouterSeen> old = std::move(routers_);
  routers_.assign(1, {});
  numbers_.clear();
  for (auto& [block, path] : paths_) {
    for (Step& step : path.steps) {
      if (step.router == 0) continue;
      const RouterSeen& seen = old[step.router];
      step.router = router_number(seen.address);
      if (step.router != 0) routers_[step.router] = seen;
    }
  }
}

}  // namespace icon::discovery
