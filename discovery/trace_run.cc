#include "discovery/trace_run.h"

#include <fcntl.h>
#include <time.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <utility>
#include <vector>

#include "discovery/probe_socket.h"

namespace icon::discovery {
namespace {

namespace asio = boost::asio;

// The default receive buffer holds about this many ICMP errors.
constexpr int kProbesPerSocket = 256;
constexpr int kSocketsMax = 8;  // per address family
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

// One method, one set of targets. Shared by the coroutine that sends and the handlers that wait for
// the sockets, which may outlive the coroutine by one turn of the loop.
class Phase : public std::enable_shared_from_this<Phase> {
 public:
  Phase(asio::any_io_executor executor, ProbeKind kind, TracePlan plan, PlanSink sink)
      : kind_(kind),
        plan_(std::move(plan)),
        sink_(std::move(sink)),
        wake_(executor),
        executor_(std::move(executor)) {}

  // Several sockets, since each holds only so many unread answers. All probes to one target leave
  // by the same one: its port or identifier is a part of the flow.
  Status open(bool v6, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) ICON_CHECK(open_one(v6));
    return {};
  }
  bool wants(bool v6) const {
    for (std::size_t i = 0; i < plan_.target_count(); ++i)
      if (plan_.target(i).is_v4() != v6) return true;
    return false;
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
      if (plan_.hopeless()) plan_.stop("nobody answers");
      const bool full = send_batch(at);
      receive();
      if (plan_.done()) break;
      wake_.expires_at(full ? at : std::min(deadline, plan_.wait_until(now())));
      co_await wake_.async_wait(asio::as_tuple(asio::use_awaitable));
    }
  }

  // Hands over what there is.
  void close() {
    closed_ = true;
    for (auto& family : channels_) {
      for (auto& channel : family) channel->readiness.close();
      family.clear();
    }
    plan_.stop("interrupted");
    if (const PlanSink sink = std::exchange(sink_, {})) sink(plan_, traffic_);
  }
  void discard() { sink_ = {}; }

 private:
  struct Channel {
    Channel(ProbeSocket opened, const asio::any_io_executor& executor)
        : socket(std::move(opened)), readiness(executor) {}
    ProbeSocket socket;
    asio::posix::stream_descriptor readiness;
    // The batch that is being put together.
    std::vector<Probe> probes;
    std::vector<OutgoingProbe> outgoing;
  };

  Status open_one(bool v6) {
    ICON_TRY(ProbeSocket socket, ProbeSocket::open(kind_, v6));
    auto channel = std::make_unique<Channel>(std::move(socket), executor_);
    // A descriptor of its own for the reactor: each side closes what it owns.
    const int duplicate = fcntl(channel->socket.fd(), F_DUPFD_CLOEXEC, 0);
    if (duplicate < 0) return fail_errno("probe socket");
    channel->readiness.assign(duplicate);
    channels_[v6 ? 1 : 0].push_back(std::move(channel));
    watch(*channels_[v6 ? 1 : 0].back());
    return {};
  }

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
      ++traffic_.replies;
    } else {
      ++traffic_.ignored;
    }
  }

  void receive() {
    for (auto& family : channels_) {
      for (auto& channel : family)
        traffic_.ignored +=
            channel->socket.receive([this](const ProbeReply& reply) { on_reply(reply); });
    }
  }

  // True when there may be more to send at once.
  bool send_batch(SteadyTime at) {
    std::size_t count = 0;
    for (; count < kBatch; ++count) {
      const auto probe = plan_.next(at);
      if (!probe) break;
      const Address& target = plan_.target(probe->target);
      auto& family = channels_[target.is_v4() ? 0 : 1];
      if (family.empty()) {
        plan_.unsendable(*probe, target.is_v4() ? "no IPv4 here" : "no IPv6 here");
        continue;
      }
      Channel& channel = *family[probe->target % family.size()];
      channel.probes.push_back(*probe);
      channel.outgoing.push_back({target, probe->tag});
    }
    for (auto& family : channels_)
      for (auto& channel : family) send(*channel);
    return count == kBatch;
  }

  void send(Channel& channel) {
    if (channel.outgoing.empty()) return;
    channel.socket.send(
        channel.outgoing, plan_.cookie(), [this](const ProbeReply& reply) { on_reply(reply); },
        [&](std::size_t i, const std::string& reason) {
          plan_.unsendable(channel.probes[i], reason);
        });
    channel.probes.clear();
    channel.outgoing.clear();
  }

  ProbeKind kind_;
  TracePlan plan_;
  PlanSink sink_;
  asio::steady_timer wake_;
  asio::any_io_executor executor_;
  std::vector<std::unique_ptr<Channel>> channels_[2];  // IPv4, IPv6
  bool closed_ = false;
  TraceTraffic traffic_;
};

// Closes the sockets whatever ends the coroutine.
struct PhaseGuard {
  std::shared_ptr<Phase> phase;
  ~PhaseGuard() { phase->close(); }
};

}  // namespace

Task<Status> run_trace(ProbeKind kind, TracePlan plan, int probes_in_flight_max,
                       SteadyTime deadline, PlanSink sink) {
  auto executor = co_await asio::this_coro::executor;
  PhaseGuard guard{std::make_shared<Phase>(executor, kind, std::move(plan), std::move(sink))};
  const int sockets = std::clamp(probes_in_flight_max / kProbesPerSocket, 1, kSocketsMax);
  Status failure;
  int opened = 0;
  for (const bool v6 : {false, true}) {
    if (!guard.phase->wants(v6)) continue;
    if (auto status = guard.phase->open(v6, static_cast<std::size_t>(sockets))) {
      ++opened;
    } else {
      failure = fail(status.error());
    }
  }
  if (opened == 0) {
    guard.phase->discard();
    co_return failure;
  }
  co_await guard.phase->run(deadline);
  co_return Status{};
}

}  // namespace icon::discovery
