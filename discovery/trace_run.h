// One method of tracing at work: the sockets, the plan, and the loop between them.
#pragma once

#include <functional>

#include "base/clock.h"
#include "base/result.h"
#include "base/task.h"
#include "discovery/probe.h"
#include "discovery/trace_plan.h"

namespace icon::discovery {

struct TraceTraffic {
  std::uint64_t replies = 0;
  std::uint64_t ignored = 0;
};
// What is there at the end, whatever ended the run: all done, the deadline, or a cancellation.
using PlanSink = std::function<void(const TracePlan& plan, const TraceTraffic& traffic)>;

// Opens sockets, runs `plan` until it is done or `deadline`, and closes them. Errors, with nothing
// sent: kRefused, kUnavailable, kIo (no socket for any of the targets).
Task<Status> run_trace(ProbeKind kind, TracePlan plan, int probes_in_flight_max,
                       SteadyTime deadline, PlanSink sink);

}  // namespace icon::discovery
