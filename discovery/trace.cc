#include "discovery/trace.h"

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <utility>

#include "discovery/trace_run.h"

namespace icon::discovery {
namespace {

SteadyTime now() { return std::chrono::steady_clock::now(); }

std::uint64_t random_cookie() {
  std::random_device device;
  return static_cast<std::uint64_t>(device()) << 32 | device();
}

bool is_multicast(const Address& address) {
  return address.is_v4() ? address.bytes()[0] >= 224 : address.bytes()[0] == 0xff;
}

// What the methods that run one after the other share.
struct Run {
  const std::vector<TraceTask>& tasks;
  TraceLimits limits;
  const TraceSink& sink;
  SteadyTime deadline;
  TraceReport report;
  std::map<Address, std::size_t> routers;  // places in the report
};

void add_router(Run& run, RouterSeen seen) {
  const auto [known, first] = run.routers.emplace(seen.address, run.report.routers.size());
  if (first) {
    run.report.routers.push_back(seen);
    return;
  }
  RouterSeen& router = run.report.routers[known->second];
  if (router.rtt_us_min == 0 || (seen.rtt_us_min > 0 && seen.rtt_us_min < router.rtt_us_min))
    router.rtt_us_min = seen.rtt_us_min;
  router.ttl_max = std::max(router.ttl_max, seen.ttl_max);
  router.probes += seen.probes;
  router.answers += seen.answers;
  router.probes_per_second_max = std::max(router.probes_per_second_max, seen.probes_per_second_max);
  router.limited = router.limited || seen.limited;
  router.balanced = router.balanced || seen.balanced;
  if (router.beside.empty()) router.beside = std::move(seen.beside);
}

// Runs one method on the tasks `which`; those on whose path nothing was seen go to `unseen` if it
// is given, all others to the sink.
Task<Status> run_method(Run& run, TraceMethod method, std::vector<std::size_t> which,
                        std::vector<std::size_t>* unseen, std::string remark) {
  std::vector<Address> targets;
  std::vector<std::uint8_t> first_ttls;
  for (const std::size_t index : which) {
    targets.push_back(run.tasks[index].target);
    first_ttls.push_back(static_cast<std::uint8_t>(
        std::clamp(run.tasks[index].last_router_ttl, 0, run.limits.ttl_max)));
  }
  const auto kind = method == TraceMethod::kPing ? ProbeKind::kPing : ProbeKind::kUdp;
  TracePlan plan(std::move(targets), method, run.limits, random_cookie(), now(), first_ttls);
  PlanSink sink = [&run, which = std::move(which), unseen, remark = std::move(remark)](
                      const TracePlan& ended, const TraceTraffic& traffic) {
    run.report.probes_sent += ended.probes_sent();
    run.report.replies += traffic.replies;
    run.report.messages_ignored += traffic.ignored;
    for (auto& router : ended.routers()) add_router(run, std::move(router));
    for (std::size_t i = 0; i < which.size(); ++i) {
      TraceResult result = ended.result(i);
      if (result.hops.empty() && unseen != nullptr) {
        unseen->push_back(which[i]);
        continue;
      }
      if (result.hops.empty() && !remark.empty()) result.note += "; " + remark;
      run.sink(which[i], std::move(result), ended.ended_early(i));
    }
  };
  co_return co_await run_trace(kind, std::move(plan), run.limits.probes_in_flight_max, run.deadline,
                               std::move(sink));
}

}  // namespace

std::string_view to_string(TraceMethod method) {
  switch (method) {
    case TraceMethod::kAuto:
      return "auto";
    case TraceMethod::kUdp:
      return "udp";
    case TraceMethod::kPing:
      return "ping";
  }
  return "?";
}

Task<Result<TraceReport>> SystemTracer::run(std::vector<TraceTask> tasks, TraceLimits limits,
                                            TraceSink sink) {
  ICON_CO_CHECK(check_limits(limits));
  const SteadyTime begin = now();
  Run run{tasks, limits, sink, begin + limits.deadline, {}, {}};
  std::vector<std::size_t> todo;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    if (!is_multicast(tasks[i].target)) {
      todo.push_back(i);
      continue;
    }
    TraceResult result;
    result.target = tasks[i].target;
    result.note = "not the address of one host";
    sink(i, std::move(result), false);
  }
  std::string remark;
  if (limits.method != TraceMethod::kUdp && !todo.empty()) {
    std::vector<std::size_t> unseen;
    auto* const unseen_if_auto = limits.method == TraceMethod::kAuto ? &unseen : nullptr;
    const auto ping = co_await run_method(run, TraceMethod::kPing, todo, unseen_if_auto, remark);
    if (!ping && limits.method == TraceMethod::kPing) co_return fail(ping.error());
    if (ping) {
      todo = std::move(unseen);
    } else {
      remark = ping.error().message;
    }
  }
  if (limits.method != TraceMethod::kPing && !todo.empty()) {
    const auto udp = co_await run_method(run, TraceMethod::kUdp, todo, nullptr, remark);
    if (!udp) co_return fail(udp.error());
  }
  run.report.took = std::chrono::duration_cast<Micros>(now() - begin);
  co_return std::move(run.report);
}

Task<Result<TraceReport>> SystemTracer::trace(std::vector<Address> targets, TraceLimits limits) {
  std::vector<TraceTask> tasks;
  std::set<Address> seen;
  for (const Address& target : targets) {
    if (tasks.size() == limits.targets_max) break;
    if (seen.insert(target).second) tasks.push_back({target, 0});
  }
  std::vector<TraceResult> traces(tasks.size());
  TraceSink sink = [&traces](std::size_t index, TraceResult result, bool) {
    traces[index] = std::move(result);
  };
  ICON_CO_TRY(auto report, co_await run(std::move(tasks), limits, std::move(sink)));
  report.traces = std::move(traces);
  co_return report;
}

}  // namespace icon::discovery
