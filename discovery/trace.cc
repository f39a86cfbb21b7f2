#include "discovery/trace.h"

#include <fcntl.h>
#include <time.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <utility>

#include "discovery/probe_socket.h"
#include "discovery/trace_plan.h"

namespace icon::discovery {
namespace {

namespace asio = boost::asio;

constexpr std::size_t kBatch = 64;
constexpr std::int64_t kKernelDelayNsMax = 1'000'000'000;

SteadyTime now() { return std::chrono::steady_clock::now(); }

// When the kernel received it, on the steady clock: the loop may have been busy meanwhile. A wall
// clock that was set in between falls back to now.
SteadyTime received_at(const ProbeReply& reply) {
  if (reply.received_ns == 0) return now();
  timespec wall{};
  clock_gettime(CLOCK_REALTIME, &wall);
  const std::int64_t age_ns =
      wall.tv_sec * std::int64_t{1'000'000'000} + wall.tv_nsec - reply.received_ns;
  if (age_ns < 0 || age_ns > kKernelDelayNsMax) return now();
  return now() - std::chrono::nanoseconds(age_ns);
}

std::uint64_t random_cookie() {
  std::random_device device;
  return static_cast<std::uint64_t>(device()) << 32 | device();
}

// One method, one set of targets. Shared by the coroutine that sends and the handlers that wait for
// the sockets, which may outlive the coroutine by one turn of the loop.
class Phase : public std::enable_shared_from_this<Phase> {
 public:
  Phase(asio::any_io_executor executor, ProbeKind kind, TracePlan plan)
      : kind_(kind), plan_(std::move(plan)), wake_(executor), executor_(std::move(executor)) {}

  Status open(bool v6) {
    ICON_TRY(ProbeSocket socket, ProbeSocket::open(kind_, v6));
    auto channel = std::make_unique<Channel>(std::move(socket), executor_);
    // A descriptor of its own for the reactor: each side closes what it owns.
    const int duplicate = fcntl(channel->socket.fd(), F_DUPFD_CLOEXEC, 0);
    if (duplicate < 0) return fail_errno("probe socket");
    channel->readiness.assign(duplicate);
    auto& slot = v6 ? v6_ : v4_;
    slot = std::move(channel);
    watch(*slot);
    return {};
  }

  // Until every trace has ended or `deadline`.
  Task<void> run(SteadyTime deadline) {
    while (!plan_.done()) {
      const SteadyTime at = now();
      if (at >= deadline) {
        plan_.stop("deadline");
        break;
      }
      plan_.expire(at);
      const bool full = send_batch(at);
      receive();
      if (plan_.done()) break;
      wake_.expires_at(full ? at : std::min(deadline, plan_.wait_until(now())));
      co_await wake_.async_wait(asio::as_tuple(asio::use_awaitable));
    }
  }

  void close() {
    closed_ = true;
    for (auto* channel : {v4_.get(), v6_.get()})
      if (channel != nullptr) channel->readiness.close();
    v4_.reset();
    v6_.reset();
  }

  const TracePlan& plan() const { return plan_; }
  std::uint64_t replies() const { return replies_; }
  std::uint64_t ignored() const { return ignored_; }

 private:
  struct Channel {
    Channel(ProbeSocket opened, const asio::any_io_executor& executor)
        : socket(std::move(opened)), readiness(executor) {}
    ProbeSocket socket;
    asio::posix::stream_descriptor readiness;
  };

  // The error queue shows as an error condition, which ends a wait for reading too.
  void watch(Channel& channel) {
    channel.readiness.async_wait(asio::posix::descriptor_base::wait_read,
                                 [self = shared_from_this(), &channel](auto error) {
                                   if (error || self->closed_) return;
                                   self->receive();
                                   self->wake_.cancel();
                                   self->watch(channel);
                                 });
  }

  void on_reply(const ProbeReply& reply) {
    if (plan_.on_reply(reply, received_at(reply))) {
      ++replies_;
    } else {
      ++ignored_;
    }
  }

  void receive() {
    for (auto* channel : {v4_.get(), v6_.get()}) {
      if (channel == nullptr) continue;
      ignored_ += channel->socket.receive([this](const ProbeReply& reply) { on_reply(reply); });
    }
  }

  // True when there may be more to send at once.
  bool send_batch(SteadyTime at) {
    std::vector<Probe> probes[2];
    std::vector<OutgoingProbe> outgoing[2];
    std::size_t count = 0;
    while (count < kBatch) {
      const auto probe = plan_.next(at);
      if (!probe) break;
      const Address& target = plan_.target(probe->target);
      const auto family = target.is_v4() ? 0u : 1u;
      const auto& channel = target.is_v4() ? v4_ : v6_;
      if (!channel) {
        plan_.unsendable(*probe, target.is_v4() ? "no IPv4 here" : "no IPv6 here");
        continue;
      }
      probes[family].push_back(*probe);
      outgoing[family].push_back({target, probe->tag});
      ++count;
    }
    for (const auto family : {0u, 1u}) {
      if (outgoing[family].empty()) continue;
      (family == 0 ? v4_ : v6_)
          ->socket.send(
              outgoing[family], plan_.cookie(),
              [this](const ProbeReply& reply) { on_reply(reply); },
              [&](std::size_t i, const std::string& reason) {
                plan_.unsendable(probes[family][i], reason);
              });
    }
    return count == kBatch;
  }

  ProbeKind kind_;
  TracePlan plan_;
  asio::steady_timer wake_;
  asio::any_io_executor executor_;
  std::unique_ptr<Channel> v4_;
  std::unique_ptr<Channel> v6_;
  bool closed_ = false;
  std::uint64_t replies_ = 0;
  std::uint64_t ignored_ = 0;
};

// Closes the sockets whatever ends the coroutine.
struct PhaseGuard {
  std::shared_ptr<Phase> phase;
  ~PhaseGuard() { phase->close(); }
};

// Runs one method on `targets`; writes traces into `report` at the places `at`.
Task<Status> run_phase(TraceMethod method, std::vector<Address> targets,
                       std::vector<std::size_t> at, TraceLimits limits, SteadyTime deadline,
                       TraceReport& report) {
  const auto kind = method == TraceMethod::kPing ? ProbeKind::kPing : ProbeKind::kUdp;
  auto executor = co_await asio::this_coro::executor;
  PhaseGuard guard{std::make_shared<Phase>(
      executor, kind, TracePlan(targets, method, limits, random_cookie(), now()))};
  Status failure;
  int opened = 0;
  for (const bool v6 : {false, true}) {
    if (std::none_of(targets.begin(), targets.end(),
                     [&](const Address& target) { return target.is_v4() != v6; }))
      continue;
    if (auto status = guard.phase->open(v6)) {
      ++opened;
    } else {
      failure = fail(status.error());
    }
  }
  if (opened == 0) co_return failure;
  co_await guard.phase->run(deadline);
  auto results = guard.phase->plan().results();
  for (std::size_t i = 0; i < results.size(); ++i) report.traces[at[i]] = std::move(results[i]);
  report.probes_sent += guard.phase->plan().probes_sent();
  report.replies += guard.phase->replies();
  report.messages_ignored += guard.phase->ignored();
  co_return Status{};
}

bool is_multicast(const Address& address) {
  return address.is_v4() ? address.bytes()[0] >= 224 : address.bytes()[0] == 0xff;
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

Task<Result<TraceReport>> SystemTracer::trace(std::vector<Address> targets, TraceLimits limits) {
  ICON_CO_CHECK(check_limits(limits));
  const SteadyTime begin = now();
  const SteadyTime deadline = begin + limits.deadline;
  TraceReport report;
  std::vector<Address> todo;
  std::vector<std::size_t> places;
  std::set<Address> seen;
  for (const Address& target : targets) {
    if (report.traces.size() == limits.targets_max) break;
    if (!seen.insert(target).second) continue;
    TraceResult result;
    result.target = target;
    if (is_multicast(target)) {
      result.note = "not the address of one host";
    } else {
      todo.push_back(target);
      places.push_back(report.traces.size());
    }
    report.traces.push_back(std::move(result));
  }
  const bool udp_first = limits.method != TraceMethod::kPing;
  Status udp;
  if (udp_first && !todo.empty()) {
    udp = co_await run_phase(TraceMethod::kUdp, todo, places, limits, deadline, report);
    if (!udp && limits.method == TraceMethod::kUdp) co_return fail(udp.error());
  }
  if (limits.method != TraceMethod::kUdp) {
    std::vector<Address> unseen;
    std::vector<std::size_t> unseen_places;
    for (const std::size_t place : places) {
      if (!report.traces[place].hops.empty()) continue;
      unseen.push_back(report.traces[place].target);
      unseen_places.push_back(place);
    }
    if (!unseen.empty() && now() < deadline) {
      TraceReport second = report;
      const auto ping =
          co_await run_phase(TraceMethod::kPing, unseen, unseen_places, limits, deadline, second);
      if (ping) {
        report = std::move(second);
      } else if (!udp_first || !udp) {
        co_return fail(ping.error());
      } else {
        for (const std::size_t place : unseen_places)
          report.traces[place].note += "; " + ping.error().message;
      }
    }
  }
  fill_silent_hops(report.traces);
  report.took = std::chrono::duration_cast<Micros>(now() - begin);
  co_return report;
}

void fill_silent_hops(std::vector<TraceResult>& traces) {
  // (family, TTL before the hole, address there, TTL behind it, address there) -> a trace that
  // knows what is between. All traces start here, so that a hole may begin at the first hop.
  using Ends = std::tuple<bool, int, std::optional<Address>, int, Address>;
  const auto address_at = [](const TraceResult& trace, int ttl) {
    return ttl == 0 ? std::optional<Address>()
                    : trace.hops[static_cast<std::size_t>(ttl) - 1].address;
  };
  std::map<Ends, std::vector<TraceResult*>> holes;
  for (auto& trace : traces) {
    int before = 0;
    for (const Hop& hop : trace.hops) {
      if (!hop.address) continue;
      if (hop.ttl - before > 1)
        holes[{trace.target.is_v4(), before, address_at(trace, before), hop.ttl, *hop.address}]
            .push_back(&trace);
      before = hop.ttl;
    }
  }
  for (auto& [ends, holed] : holes) {
    const auto& [v4, before, before_address, behind, behind_address] = ends;
    const auto knows = [&, before = before, behind = behind, v4 = v4](const TraceResult& trace) {
      if (trace.target.is_v4() != v4 || static_cast<int>(trace.hops.size()) < behind) return false;
      if (address_at(trace, before) != before_address) return false;
      if (address_at(trace, behind) != std::optional(behind_address)) return false;
      for (int ttl = before + 1; ttl < behind; ++ttl) {
        const Hop& hop = trace.hops[static_cast<std::size_t>(ttl) - 1];
        if (!hop.address || hop.inferred) return false;
      }
      return true;
    };
    const auto donor = std::find_if(traces.begin(), traces.end(), knows);
    if (donor == traces.end()) continue;
    for (TraceResult* trace : holed) {
      for (int ttl = before + 1; ttl < behind; ++ttl) {
        Hop& hop = trace->hops[static_cast<std::size_t>(ttl) - 1];
        hop.address = address_at(*donor, ttl);
        hop.inferred = true;
      }
    }
  }
}

}  // namespace icon::discovery
