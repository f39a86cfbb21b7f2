// An internet for TracePlan: routers with their limits, loss, silence and load balancing, and a
// clock that runs as fast as the plan allows.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "discovery/trace_plan.h"

namespace icon::discovery {

class SimulatedNetwork {
 public:
  static constexpr std::uint64_t kCookie = 42;
  static constexpr SteadyTime kStart{std::chrono::seconds(100)};
  // The routers on the way to a target, by the flow id; the target is one hop behind the last.
  using Path = std::function<std::vector<Address>(std::size_t target, int flow)>;

  struct Options {
    double loss = 0;
    // Of each router, as Linux does it; 0: none.
    double answers_per_second = 0;
    double answers_burst = 6;
    std::set<Address> silent;
    std::set<std::size_t> silent_targets;
    Micros per_hop{500};
    std::function<std::size_t(std::size_t)> back_hops;  // by the hops there; none: not told
    unsigned seed = 1;
  };

  SimulatedNetwork(std::vector<Address> targets, Path path, TraceLimits limits, Options options,
                   const std::vector<std::uint8_t>& first_ttls = {})
      : plan(targets, TraceMethod::kPing, limits, kCookie, kStart, first_ttls),
        targets_(std::move(targets)),
        path_(std::move(path)),
        options_(std::move(options)),
        random_(options_.seed) {}

  // To the end, or for `most`.
  void run(Millis most = Millis(600'000)) {
    while (!plan.done() && now - kStart < most) {
      plan.expire(now);
      while (const auto probe = plan.next(now)) answer(*probe);
      if (plan.done()) return;
      SteadyTime next = plan.wait_until(now);
      if (!arriving_.empty()) next = std::min(next, arriving_.top().at);
      now = std::max(next, now + Micros(1));
      while (!arriving_.empty() && arriving_.top().at <= now) {
        const Arrival arrival = arriving_.top();
        arriving_.pop();
        (void)plan.on_reply(arrival.reply, arrival.at);
      }
    }
  }

  std::set<Address> routers_found() const {
    std::set<Address> found;
    for (const auto& router : plan.routers()) found.insert(router.address);
    return found;
  }
  // The most probes that met one router within any second of the run.
  std::size_t probes_per_second_max() const {
    std::size_t most = 0;
    for (const auto& [router, times] : met_) {
      std::size_t from = 0;
      for (std::size_t to = 0; to < times.size(); ++to) {
        while (times[to] - times[from] >= std::chrono::seconds(1)) ++from;
        most = std::max(most, to - from + 1);
      }
    }
    return most;
  }
  std::size_t probes_at(const Address& router) const {
    const auto found = met_.find(router);
    return found == met_.end() ? 0 : found->second.size();
  }

 private:
  struct Arrival {
    SteadyTime at;
    ProbeReply reply;
    bool operator<(const Arrival& other) const { return at > other.at; }
  };

  bool lost() { return std::uniform_real_distribution<>(0, 1)(random_) < options_.loss; }

  bool allowed(const Address& router) {
    if (options_.answers_per_second == 0) return true;
    auto [bucket, first] = buckets_.try_emplace(router, options_.answers_burst, now);
    const std::chrono::duration<double> passed = now - bucket->second.second;
    bucket->second.second = now;
    double& tokens = bucket->second.first;
    tokens =
        std::min(options_.answers_burst, tokens + passed.count() * options_.answers_per_second);
    if (tokens < 1) return false;
    tokens -= 1;
    return true;
  }

  void answer(const Probe& probe) {
    const auto routers = path_(probe.target, probe.tag.flow);
    const auto ttl = static_cast<std::size_t>(probe.tag.ttl);
    if (lost()) return;
    ProbeReply reply;
    reply.target = targets_[probe.target];
    reply.tag = probe.tag;
    reply.cookie = kCookie;
    std::size_t hops = ttl;
    if (ttl <= routers.size()) {
      reply.from = routers[ttl - 1];
      met_[reply.from].push_back(now);
      if (options_.silent.count(reply.from) > 0 || !allowed(reply.from)) return;
    } else {
      if (options_.silent_targets.count(probe.target) > 0) return;
      hops = routers.size() + 1;
      reply.kind = ProbeReply::Kind::kEchoReply;
      reply.from = reply.target;
    }
    if (options_.back_hops) reply.back_hops = static_cast<int>(options_.back_hops(hops));
    if (!lost()) arriving_.push({now + options_.per_hop * hops, reply});
  }

 public:
  TracePlan plan;
  SteadyTime now = kStart;

 private:
  std::vector<Address> targets_;
  Path path_;
  Options options_;
  std::mt19937 random_;
  std::priority_queue<Arrival> arriving_;
  std::map<Address, std::pair<double, SteadyTime>> buckets_;
  std::map<Address, std::vector<SteadyTime>> met_;
};

// A tree: `routers` hops to each target, one router at the first, `fan` times as many at each of
// the following as long as that are no more than `widest`.
struct TreeShape {
  std::size_t routers = 7;
  std::size_t fan = 2;
  std::size_t widest = 32;
};

inline Address tree_router(std::size_t ttl, std::size_t number) {
  return Address::v4(static_cast<std::uint32_t>(0xc6120000u + ttl * 0x400 + number));
}

// Targets side by side share their way.
inline std::vector<Address> tree_path(const TreeShape& shape, std::size_t target,
                                      std::size_t targets) {
  std::vector<Address> path;
  std::size_t wide = 1;
  for (std::size_t ttl = 1; ttl <= shape.routers; ++ttl) {
    if (ttl > 1 && wide * shape.fan <= shape.widest) wide *= shape.fan;
    path.push_back(tree_router(ttl, target * wide / targets));
  }
  return path;
}

inline std::set<Address> tree_routers(const TreeShape& shape, std::size_t targets) {
  std::set<Address> all;
  for (std::size_t i = 0; i < targets; ++i)
    for (const Address& router : tree_path(shape, i, targets)) all.insert(router);
  return all;
}

// `per_block` in each /24.
inline std::vector<Address> tree_targets(std::size_t count, std::size_t per_block) {
  std::vector<Address> targets;
  for (std::size_t i = 0; i < count; ++i)
    targets.push_back(Address::v4(
        static_cast<std::uint32_t>(0x0b000000u + (i / per_block << 8) + i % per_block + 1)));
  return targets;
}

}  // namespace icon::discovery
