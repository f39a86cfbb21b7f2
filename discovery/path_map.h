// The ways to the users' blocks as far as they are known, across runs: what is to be traced again,
// and what need not be. Pure; bounded; small enough for 10,000 blocks.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "discovery/trace.h"

namespace icon::discovery {

struct PathMapLimits {
  std::size_t blocks_max = 16'384;
  std::size_t routers_max = 32'768;
  // A path is traced again when it is so old. Those who matter most are `first_count`.
  std::size_t first_count = 64;
  Millis age_max_first{30'000};
  Millis age_max{600'000};
  Millis age_max_holed{120'000};  // with hops that nobody knows
};

// One path for each /24 and /48, to whom it was traced last.
class PathMap {
 public:
  explicit PathMap(PathMapLimits limits = {}) : limits_(limits) {}

  // What of `wanted` (those that matter most first) is to be traced now: first what is not known,
  // then what is oldest by its limit.
  std::vector<TraceTask> due(std::span<const Address> wanted, SteadyTime now);
  // `cut`: the run ended before the trace had; the path stays due.
  void learn(const TraceResult& result, bool cut, SteadyTime now);
  // What a run saw of the routers apart from paths.
  void learn(const std::vector<RouterSeen>& routers);
  // The path to the block of `user`; its target is whom it was traced to.
  std::optional<TraceResult> find(const Address& user) const;
  // Those on the paths, once each.
  std::vector<RouterSeen> routers() const;
  std::size_t size() const { return paths_.size(); }
  void clear();

 private:
  struct Step {
    std::uint32_t router = 0;  // 0: silent
    std::uint8_t probes = 0;
    bool inferred = false;
    std::uint8_t back_hops = 0;
  };
  struct Path {
    Address target;
    SteadyTime traced{};       // never: zero
    std::uint32_t wanted = 0;  // the number of the last due() that did
    std::uint32_t rtt_us = 0;  // of the target, when reached
    TraceMethod method = TraceMethod::kPing;
    bool reached = false;
    bool holed = false;
    std::uint8_t back_hops = 0;  // of the target, when reached
    std::vector<Step> steps;     // the target itself left out
  };
  std::uint32_t router_number(const Address& address);
  void forget_oldest();
  void forget_unused_routers();

  PathMapLimits limits_;
  std::uint32_t dues_ = 0;
  std::map<std::uint64_t, Path> paths_;  // by user_block()
  std::vector<RouterSeen> routers_{1};   // [0] is nobody
  std::map<Address, std::uint32_t> numbers_;
};

}  // namespace icon::discovery
