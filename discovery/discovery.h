// From the addresses of users to the providers near them: trace, name, ask, merge. With limits and
// a deadline for the whole, and with evidence of what was seen and what was left out.
#pragma once

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/result.h"
#include "base/task.h"
#include "discovery/provider.h"
#include "discovery/provider_source.h"
#include "discovery/resolver.h"
#include "discovery/trace.h"

namespace icon::discovery {

struct DiscoveryLimits {
  TraceLimits trace;        // its deadline is shortened to half of `deadline`
  Millis deadline{20'000};  // of a whole run
  std::size_t targets_max = 10'000;
  std::size_t rejections_max = 512;
};

struct Timings {
  Micros trace{0};
  Micros names{0};  // look-ups of all sources
  Micros total{0};
};

struct DiscoveryReport {
  std::size_t targets = 0;  // that were to be traced
  std::vector<TraceResult> traces;
  std::vector<RouterSeen> routers;
  std::vector<PathHop> hops;  // public ones, once each
  std::vector<HopName> names;
  std::vector<std::string> domains;
  std::vector<ProviderCandidate> providers;
  std::vector<Rejection> rejected;
  std::uint64_t probes_sent = 0;
  Timings timings;

  // The evidence, integers and strings only, so that it can be signed. Of the traces, the first.
  json::Object to_json(std::size_t traces_max = std::numeric_limits<std::size_t>::max()) const;
  // Our RTT to the last hop towards `target` that belongs to `domain`: what to subtract from a
  // user's RTT. Absent: that domain is not on the way to it.
  std::optional<std::int64_t> on_path_rtt_us(const Address& target, std::string_view domain) const;
};

// Everything is borrowed and must outlive the object. One run at a time. Loop thread only.
class Discovery {
 public:
  Discovery(Tracer& tracer, Resolver& resolver, std::vector<ProviderSource*> sources,
            const Clock& clock, DiscoveryLimits limits)
      : tracer_(tracer),
        resolver_(resolver),
        sources_(std::move(sources)),
        clock_(clock),
        limits_(limits) {}
  // Nothing stays open afterwards: no socket, no timer. A trace that fails leaves its reason in
  // `rejected`, and the configured providers are still found. Errors: kConflict (a run is under
  // way).
  Task<Result<DiscoveryReport>> run(std::vector<Address> targets);
  DiscoveryLimits& limits() { return limits_; }

 private:
  Tracer& tracer_;
  Resolver& resolver_;
  std::vector<ProviderSource*> sources_;
  const Clock& clock_;
  DiscoveryLimits limits_;
  bool running_ = false;
};

// The public hops of all traces, and routers of those that are not among them, once each, farthest
// first. Pure.
std::vector<PathHop> path_hops(const std::vector<TraceResult>& traces,
                               const std::vector<RouterSeen>& routers = {});

}  // namespace icon::discovery
