#include "discovery/mapped_tracer.h"

#include <utility>

namespace icon::discovery {

Task<Result<TraceReport>> MappedTracer::trace(std::vector<Address> targets, TraceLimits limits) {
  if (targets.size() > limits.targets_max) targets.resize(limits.targets_max);
  std::vector<TraceTask> due = map_.due(targets, clock_.steady());
  TraceSink sink = [this](std::size_t, TraceResult result, bool cut) {
    map_.learn(result, cut, clock_.steady());
  };
  ICON_CO_TRY(TraceReport report, co_await tracer_.run(std::move(due), limits, std::move(sink)));
  map_.learn(report.routers);
  report.routers = map_.routers();
  for (const Address& target : targets) {
    if (report.traces.size() == limits.traces_reported_max) break;
    auto known = map_.find(target);
    if (!known) known.emplace().target = target;
    report.traces.push_back(std::move(*known));
  }
  co_return report;
}

}  // namespace icon::discovery
