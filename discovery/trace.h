// Which routers lie on the way to many targets, found at once and without any privilege: ping
// sockets, or UDP with IP_RECVERR where they are forbidden or unanswered.
#pragma once

#include <cstdint>
#include <functional>
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
  kAuto,  // ping, then UDP for the targets on whose path ping saw nothing
  kUdp,
  kPing,
};
std::string_view to_string(TraceMethod method);

struct TraceLimits {
  TraceMethod method = TraceMethod::kAuto;
  int ttl_max = 30;
  int tries_per_hop = 2;  // probes sent for one TTL at most; some more where a router limits itself
  int replies_per_hop = 1;  // answers wanted from one TTL; more of them give a better minimum
  int window = 6;           // TTLs of one target under way at once
  int silent_hops_max = 5;  // so many silent TTLs in a row end a trace
  // Doubletree (Donnet et al., 2005). Local: a trace towards us ends at a router that another one
  // has met at the same TTL. Global: a trace away from us ends at a router behind which another
  // one has followed the way to the same /24 or /48; such a target itself is not asked.
  bool local_stops = true;
  bool global_stops = false;
  int first_ttl = 0;      // where traces begin; 0: learnt from the first ones
  int pioneers_max = 16;  // traces that begin at TTL 1 to learn that
  // With global_stops and no distance learnt yet, others to a pioneer's block begin here, if one
  // router may be asked by all targets at once (they may all meet the same); else, and with 0, they
  // wait.
  int middle_ttl = 6;
  int flows_max = 1;  // flow ids tried at a hop to see whether it is load-balanced; 1: none
  int probes_per_second = 2000;
  int probes_per_router_per_second = 100;
  int probes_in_flight_max = 256;
  std::size_t open_max = 512;  // traces under way at once
  std::size_t targets_max = 10'000;
  std::size_t traces_reported_max = 10'000;  // the first ones
  Millis probe_timeout{800};                 // at most; less once round-trip times are known
  Millis limited_wait{2'000};  // for the turn at routers that limit how often they answer
  Millis deadline{10'000};     // of the whole run, all targets and both methods
};

struct Hop {
  int ttl = 0;
  std::optional<Address> address;  // absent: silent
  std::int64_t rtt_us_min = 0;     // of this router by any trace of the run; 0: not known
  int probes = 0;                  // of this trace
  // Not seen by this trace, but by another that has the same hops around it.
  bool inferred = false;
  bool balanced = false;  // takes turns with other routers
  // By how many hops its answer came back, as far as its TTL tells. Another number than `ttl`: the
  // way back is not the way there. 0: not known.
  int back_hops = 0;
};

struct TraceResult {
  Address target;
  TraceMethod method = TraceMethod::kUdp;
  bool reached = false;
  std::vector<Hop> hops;  // ttl 1, 2, ...; no trailing silence; the target is the last when reached
  std::string note;       // why a trace ended early, empty otherwise
};

inline constexpr std::size_t kBesideMax = 4;

struct RouterSeen {
  Address address;
  std::int64_t rtt_us_min = 0;  // 0: not known
  int ttl_max = 0;
  std::uint32_t probes = 0;  // that met it, as far as can be known
  std::uint32_t answers = 0;
  std::uint32_t probes_per_second_max = 0;
  bool limited = false;              // answers only so often
  bool balanced = false;             // shares its place on some path with others
  std::vector<Address> beside = {};  // these, kBesideMax at most
};

struct TraceReport {
  std::vector<TraceResult> traces;  // in the order of the targets
  std::vector<RouterSeen> routers;  // once each, targets that were reached left out
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

// What is known of a target beforehand.
struct TraceTask {
  Address target;
  int last_router_ttl = 0;  // where the last router before it was; 0: not known
};
// `cut`: the run ended before the trace had.
using TraceSink = std::function<void(std::size_t index, TraceResult result, bool cut)>;

// Real sockets, opened for a run and closed at its end: nothing is open between runs, since the
// process is checkpointed. Needs no capability; ping needs the group in net.ipv4.ping_group_range.
class SystemTracer final : public Tracer {
 public:
  Task<Result<TraceReport>> trace(std::vector<Address> targets, TraceLimits limits) override;
  // The same without keeping the results: each goes to `sink`, also those of a run that is
  // cancelled, and the report has no traces. `tasks` must have distinct targets.
  Task<Result<TraceReport>> run(std::vector<TraceTask> tasks, TraceLimits limits, TraceSink sink);
};

}  // namespace icon::discovery
