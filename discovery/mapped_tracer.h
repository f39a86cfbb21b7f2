// A tracer that remembers: of many targets it traces those that are due, and answers for the others
// from what it knows.
#pragma once

#include <vector>

#include "base/clock.h"
#include "discovery/path_map.h"
#include "discovery/trace.h"

namespace icon::discovery {

// Owner: the agent's survey. Loop thread. Nothing is open between runs; a run that is cancelled
// (the process is about to be checkpointed) closes its sockets and keeps what it has learnt, and
// the next one opens new sockets and goes on with the rest.
class MappedTracer final : public Tracer {
 public:
  explicit MappedTracer(const Clock& clock, PathMapLimits limits = {})
      : clock_(clock), map_(limits) {}

  // `targets`: those that matter most first. The report has the first limits.traces_reported_max of
  // them, and the routers on the way to all that were ever asked for. Errors: as SystemTracer.
  Task<Result<TraceReport>> trace(std::vector<Address> targets, TraceLimits limits) override;
  // What is known holds for one place only.
  void forget() { map_.clear(); }
  const PathMap& map() const { return map_; }

 private:
  const Clock& clock_;
  SystemTracer tracer_;
  PathMap map_;
};

}  // namespace icon::discovery
