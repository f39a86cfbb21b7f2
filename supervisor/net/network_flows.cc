// What this host remembers of connections that are over: docs/network.md, "What a host forgets".
#include <chrono>
#include <utility>

#include "base/keys.h"
#include "base/log.h"
#include "supervisor/net/network_impl.h"

namespace icon::net {
namespace {

// A sweep takes milliseconds, and has the whole restore for it.
constexpr Millis kSweepWait{20};

bool is_running(const std::shared_future<void>& work) {
  return work.valid() && work.wait_for(Millis(0)) != std::future_status::ready;
}

}  // namespace

Status NetworkImpl::start_sweeper() {
  std::optional<FastFlows> flows;
  if (fast_) {
    ICON_TRY(flows, fast_->flows());
    tidy_after(kTidyEvery);
  }
  sweeper_ = std::make_unique<FlowSweeper>(std::move(flows));
  return {};
}

std::set<Address> NetworkImpl::addresses_of(const IconRules& rules) const {
  std::set<Address> addresses{rules.network.overlay};
  if (rules.overlay6) addresses.insert(*rules.overlay6);
  return addresses;
}

// Where this host holds a stub of the ICON, live connections come home with it. Elsewhere nothing
// that this host remembers is alive.
void NetworkImpl::sweep(Icon& icon) {
  icon.sweeps.push_back(sweeper_->sweep(addresses_of(icon.rules), icon.rules.has_stub
                                                                      ? FlowSweeper::Which::kEnded
                                                                      : FlowSweeper::Which::kAll));
}

// Only where users could go on: to others nothing was translated meanwhile.
void NetworkImpl::sweep_again(Icon& icon) {
  if (!icon.rules.has_stub) return;
  std::set<Address> addresses = addresses_of(icon.rules);
  if (!config_.public_address6 && icon.rules.overlay6) addresses.erase(*icon.rules.overlay6);
  icon.sweeps.push_back(sweeper_->sweep(std::move(addresses), FlowSweeper::Which::kEndedLately));
}

void NetworkImpl::wait_for_sweep(Icon& icon) const {
  const auto end = std::chrono::steady_clock::now() + kSweepWait;
  for (const auto& sweep : icon.sweeps) {
    if (sweep.done.wait_until(end) == std::future_status::ready) continue;
    // From now on it would take connections that live.
    *sweep.is_void = true;
    log::warn("net.sweep_late", {{"icon", short_id(icon.rules.network.icon_id)}});
  }
  icon.sweeps.clear();
}

void NetworkImpl::tidy_after(Millis time) {
  const SteadyTime due = std::chrono::steady_clock::now() + time;
  if (tidy_due_ && *tidy_due_ <= due) return;
  tidy_due_ = due;
  tidying_.expires_at(due);
  tidying_.async_wait([this](boost::system::error_code error) {
    if (error) return;  // another time, or `this` is gone
    tidy_due_.reset();
    tidy();
  });
}

void NetworkImpl::tidy() {
  if (is_running(tidied_)) return tidy_after(kTidySoon);
  for (const auto& [id, icon] : icons_)
    for (const auto& address : addresses_of(icon.rules)) left_.erase(address);
  if (fast_) tidy_after(kTidyEvery);
  if (left_.empty() && !fast_) return;
  tidied_ = sweeper_->tidy(std::exchange(left_, {}));
}

void NetworkImpl::tidy_all() {
  tidying_.cancel();
  tidy_due_.reset();
  sweeper_->tidy(std::exchange(left_, {})).wait();
}

std::function<Result<StubTraffics>()> NetworkImpl::stub_traffic() {
  struct Stub {
    std::string icon_id;
    std::vector<Address> overlays;
  };
  std::vector<Stub> stubs;
  for (const auto& [id, icon] : icons_) {
    if (!icon.rules.has_stub) continue;
    stubs.push_back({id, {icon.rules.network.overlay}});
    if (icon.rules.overlay6) stubs.back().overlays.push_back(*icon.rules.overlay6);
  }
  // Shared: a std::function can be copied, descriptors cannot.
  std::shared_ptr<Result<FastTraffic>> fast;
  if (fast_) fast = std::make_shared<Result<FastTraffic>>(fast_->traffic());
  return [stubs = std::move(stubs), fast = std::move(fast)]() -> Result<StubTraffics> {
    TrafficRead read;
    ICON_CHECK(add_ruleset_traffic(read));
    if (fast && !*fast) return fail(fast->error());
    if (fast) ICON_CHECK((*fast)->add_to(read));
    StubTraffics all{{}, read.sum};
    for (const auto& stub : stubs)
      for (const auto& overlay : stub.overlays)
        if (const auto counted = read.by_overlay.find(overlay); counted != read.by_overlay.end())
          all.stubs[stub.icon_id] += counted->second;
    return all;
  };
}

}  // namespace icon::net
