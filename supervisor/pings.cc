#include "supervisor/pings.h"

#include <utility>

#include "discovery/pinger.h"

namespace icon::supervisor {
namespace {

PingGuardLimits ping_limits(const Config& config) {
  PingGuardLimits limits;
  limits.private_targets = config.ping_private_targets;
  return limits;
}

}  // namespace

Pings::Pings(const Config& config, const KeyPair& key, const Clock& clock)
    : config_(config), key_(key), clock_(clock), guard_(clock, ping_limits(config)) {}

Task<Result<wire::Envelope>> Pings::answer(wire::Envelope request, Address source) {
  ++counts_.requests;
  auto answer = co_await measure(std::move(request), source);
  if (!answer) ++counts_.requests_refused;
  co_return answer;
}

Task<Result<wire::Envelope>> Pings::measure(wire::Envelope request, Address source) {
  if (!config_.ping_api) co_return fail(Code::kRefused, "this host pings for nobody");
  ICON_CO_TRY(const auto asked, wire::open<wire::PingRequest>(request));
  if (asked.provider != key_.public_key())
    co_return fail(Code::kUnauthenticated,
                   "the request is for provider " + short_id(asked.provider.id()));
  ICON_CO_CHECK(wire::check_times(asked.issued_ms, asked.expires_ms, clock_.utc_ms()));
  if (running_ >= kRunsMax) co_return fail(Code::kLimit, "this host is busy with other pings");
  ICON_CO_TRY(auto figures, guard_.admit(asked.icon.id(), source, asked.targets));
  ICON_CO_CHECK(co_await fill(figures));
  wire::PingReport report;
  report.provider = key_.public_key();
  report.request_digest = request.digest();
  report.figures = std::move(figures);
  report.issued_ms = clock_.utc_ms();
  report.expires_ms = report.issued_ms + kReportLifetime.count();
  co_return wire::seal(key_, report);
}

Task<Status> Pings::fill(std::vector<wire::PingFigure>& figures) {
  std::vector<Address> targets;
  for (const auto& figure : figures) {
    if (PingGuard::to_be_pinged(figure))
      targets.push_back(figure.target);
    else
      ++(figure.rtt_us ? counts_.targets_known : counts_.targets_refused);
  }
  if (targets.empty()) co_return Status{};
  ++running_;
  const struct Done {
    int& running;
    ~Done() { --running; }
  } done{running_};
  discovery::PingLimits limits;
  limits.targets_max = wire::kPingTargetsMax;
  ICON_CO_TRY(const auto outcomes, co_await discovery::ping(std::move(targets), limits));
  auto outcome = outcomes.begin();
  for (auto& figure : figures) {
    if (!PingGuard::to_be_pinged(figure) || outcome == outcomes.end()) continue;
    figure.rtt_us = outcome->rtt_us;
    figure.answers = outcome->answers;
    ++(figure.rtt_us ? counts_.targets_answered : counts_.targets_silent);
    guard_.learn(figure);
    ++outcome;
  }
  co_return Status{};
}

}  // namespace icon::supervisor
