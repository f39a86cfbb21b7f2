// Which routers lie on the way to many targets, found at once and without any privilege: UDP with
// IP_RECVERR, or ping sockets where UDP is forbidden or unanswered.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/result.h"
#include "base/task.h"

namespace icon::discovery {

enum class TraceMethod {
  kAuto,  // UDP, then ping for the targets on whose path UDP saw nothing
  kUdp,
  kPing,
};
std::string_view to_string(TraceMethod method);

struct TraceLimits {
  TraceMethod method = TraceMethod::kAuto;
  int ttl_max = 30;
  int tries_per_hop = 2;    // probes sent for one TTL at most
  int replies_per_hop = 1;  // answers wanted from one TTL; more of them give a better minimum
  int window = 6;           // TTLs of one target under way at once
  int silent_hops_max = 5;  // so many silent TTLs in a row end a trace
  int probes_per_second = 2000;
  int probes_in_flight_max = 256;
  std::size_t targets_max = 256;
  Millis probe_timeout{800};
  Millis deadline{10'000};  // of the whole run, all targets and both methods
};

struct Hop {
  int ttl = 0;
  std::optional<Address> address;  // absent: silent
  std::int64_t rtt_us_min = 0;     // 0 when silent or inferred
  int probes = 0;
  // Silent towards this target, but another trace with the same hops on either side knows it.
  bool inferred = false;
};

struct TraceResult {
  Address target;
  TraceMethod method = TraceMethod::kUdp;
  bool reached = false;
  std::vector<Hop> hops;  // ttl 1, 2, ...; no trailing silence; the target is the last when reached
  std::string note;       // why a trace ended early, empty otherwise
};

struct TraceReport {
  std::vector<TraceResult> traces;  // in the order of the targets
  std::uint64_t probes_sent = 0;
  std::uint64_t replies = 0;
  std::uint64_t messages_ignored = 0;  // forged, truncated, late or not for us
  Micros took{0};
};

// One per process is enough; runs one trace at a time. Loop thread only.
class Tracer {
 public:
  virtual ~Tracer() = default;
  // `targets` beyond limits.targets_max are left out. A target that cannot be traced says so in its
  // note. Errors: kInvalid (limits out of range), kRefused (no kind of probe socket may be opened),
  // kIo.
  virtual Task<Result<TraceReport>> trace(std::vector<Address> targets, TraceLimits limits) = 0;
};

// Real sockets, opened for a run and closed at its end: nothing is open between runs, since the
// process is checkpointed. Needs no capability; ping needs the group in net.ipv4.ping_group_range.
class SystemTracer final : public Tracer {
 public:
  Task<Result<TraceReport>> trace(std::vector<Address> targets, TraceLimits limits) override;
};

// Fills silent hops from other traces that pass through the same hops at the same TTLs on either
// side: routers limit how often they answer one asker. Pure.
void fill_silent_hops(std::vector<TraceResult>& traces);

}  // namespace icon::discovery
