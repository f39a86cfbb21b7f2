#include "discovery/pinger.h"

#include <fcntl.h>
#include <sodium.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "discovery/probe.h"
#include "discovery/probe_socket.h"

namespace icon::discovery {
namespace {

namespace net = boost::asio;

constexpr int kPingTtl = 64;
constexpr std::int64_t kNsPerSecond = 1'000'000'000;

std::int64_t realtime_ns() {
  timespec wall{};
  clock_gettime(CLOCK_REALTIME, &wall);
  return wall.tv_sec * kNsPerSecond + wall.tv_nsec;
}

// Shared by the coroutine and the handlers that wait for the sockets, which may outlive it by one
// turn of the loop.
class PingRun : public std::enable_shared_from_this<PingRun> {
 public:
  PingRun(net::any_io_executor executor, std::vector<Address> targets, PingLimits limits)
      : executor_(std::move(executor)), wake_(executor_), limits_(limits) {
    randombytes_buf(&cookie_, sizeof cookie_);
    for (auto& target : targets) {
      places_.emplace(target, targets_.size());
      targets_.push_back({target, {}, {}});
    }
  }

  Status open() {
    Status failure = fail(Code::kInvalid, "there is nobody to ping");
    bool opened = false;
    for (const bool v6 : {false, true}) {
      const auto wants = [&](const Target& target) { return target.address.is_v4() != v6; };
      if (std::none_of(targets_.begin(), targets_.end(), wants)) continue;
      auto status = open_one(v6, ProbeKind::kPing);
      if (!status) status = open_one(v6, ProbeKind::kUdp);
      opened = opened || status.has_value();
      if (!status) failure = status;
    }
    if (opened) return {};
    return failure;
  }

  Task<void> run() {
    for (int attempt = 1; attempt <= limits_.packets; ++attempt) {
      send(attempt);
      const bool last = attempt == limits_.packets;
      const auto until =
          std::chrono::steady_clock::now() + (last ? limits_.answer_wait : limits_.spacing);
      for (;;) {
        receive();
        if (std::chrono::steady_clock::now() >= until || (last && complete())) break;
        wake_.expires_at(until);
        co_await wake_.async_wait(net::as_tuple(net::use_awaitable));
      }
    }
  }

  void close() {
    closed_ = true;
    for (auto& channel : channels_)
      if (channel) channel->readiness.close();
  }

  std::vector<PingOutcome> outcomes() const {
    std::vector<PingOutcome> list;
    for (const auto& target : targets_) {
      PingOutcome outcome{target.address, std::nullopt, 0};
      for (const auto& rtt_us : target.rtt_us) {
        if (!rtt_us) continue;
        ++outcome.answers;
        outcome.rtt_us = std::min(outcome.rtt_us.value_or(*rtt_us), *rtt_us);
      }
      list.push_back(std::move(outcome));
    }
    return list;
  }

 private:
  struct Target {
    Address address;
    std::array<std::int64_t, kAttemptsMax + 1> sent_ns{};  // by attempt
    std::array<std::optional<std::int64_t>, kAttemptsMax + 1> rtt_us{};
  };
  struct PingChannel {
    PingChannel(ProbeSocket opened, const net::any_io_executor& executor)
        : socket(std::move(opened)), readiness(executor) {}
    ProbeSocket socket;
    net::posix::stream_descriptor readiness;
  };

  Status open_one(bool v6, ProbeKind kind) {
    ICON_TRY(ProbeSocket socket, ProbeSocket::open(kind, v6));
    auto channel = std::make_unique<PingChannel>(std::move(socket), executor_);
    // A descriptor of its own for the reactor: each side closes what it owns.
    const int duplicate = fcntl(channel->socket.fd(), F_DUPFD_CLOEXEC, 0);
    if (duplicate < 0) return fail_errno("ping socket");
    channel->readiness.assign(duplicate);
    channels_[v6 ? 1 : 0] = std::move(channel);
    watch(*channels_[v6 ? 1 : 0]);
    return {};
  }

  void watch(PingChannel& channel) {
    channel.readiness.async_wait(net::posix::descriptor_base::wait_read,
                                 [self = shared_from_this(), &channel](auto error) {
                                   if (error || self->closed_) return;
                                   self->receive();
                                   self->wake_.cancel();
                                   self->watch(channel);
                                 });
  }

  void send(int attempt) {
    for (const bool v6 : {false, true}) {
      auto& channel = channels_[v6 ? 1 : 0];
      if (!channel) continue;
      std::vector<OutgoingProbe> probes;
      const std::int64_t now_ns = realtime_ns();
      for (auto& target : targets_) {
        if (target.address.is_v4() == v6) continue;
        target.sent_ns[static_cast<std::size_t>(attempt)] = now_ns;
        probes.push_back({target.address, {kPingTtl, attempt, 0}});
      }
      channel->socket.send(
          probes, cookie_, [this](const ProbeReply& reply) { on_reply(reply); },
          [](std::size_t, const std::string&) {});
    }
  }

  void receive() {
    for (auto& channel : channels_)
      if (channel) channel->socket.receive([this](const ProbeReply& reply) { on_reply(reply); });
  }

  // An echo reply, or a closed port's refusal, by the target itself and about a packet of ours.
  void on_reply(const ProbeReply& reply) {
    if (reply.kind == ProbeReply::Kind::kTimeExceeded || reply.from != reply.target) return;
    if (!reply.tag || reply.cookie != cookie_ || reply.tag->ttl != kPingTtl) return;
    const auto place = places_.find(reply.target);
    if (place == places_.end() || reply.tag->attempt > limits_.packets) return;
    Target& target = targets_[place->second];
    const auto attempt = static_cast<std::size_t>(reply.tag->attempt);
    if (target.sent_ns[attempt] == 0 || target.rtt_us[attempt]) return;
    const std::int64_t at_ns = reply.received_ns != 0 ? reply.received_ns : realtime_ns();
    // A wall clock that was set in between makes no figure.
    if (at_ns < target.sent_ns[attempt]) return;
    target.rtt_us[attempt] = std::max<std::int64_t>(1, (at_ns - target.sent_ns[attempt]) / 1000);
  }

  bool complete() const {
    return std::all_of(targets_.begin(), targets_.end(), [this](const Target& target) {
      for (int i = 1; i <= limits_.packets; ++i)
        if (!target.rtt_us[static_cast<std::size_t>(i)]) return false;
      return true;
    });
  }

  net::any_io_executor executor_;
  net::steady_timer wake_;
  PingLimits limits_;
  std::uint64_t cookie_ = 0;
  std::vector<Target> targets_;
  std::map<Address, std::size_t> places_;
  std::array<std::unique_ptr<PingChannel>, 2> channels_;  // IPv4, IPv6
  bool closed_ = false;
};

// Closes the sockets whatever ends the coroutine.
struct PingRunGuard {
  std::shared_ptr<PingRun> run;
  ~PingRunGuard() { run->close(); }
};

}  // namespace

Task<Result<std::vector<PingOutcome>>> ping(std::vector<Address> targets, PingLimits limits) {
  if (targets.size() > limits.targets_max)
    co_return fail(Code::kLimit, "more than " + std::to_string(limits.targets_max) + " targets");
  limits.packets = std::clamp(limits.packets, 1, kAttemptsMax);
  auto executor = co_await net::this_coro::executor;
  PingRunGuard guard{std::make_shared<PingRun>(executor, std::move(targets), limits)};
  ICON_CO_CHECK(guard.run->open());
  co_await guard.run->run();
  co_return guard.run->outcomes();
}

}  // namespace icon::discovery
