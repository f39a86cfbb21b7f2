#include "simulate/tenant.h"

#include <fmt/format.h>

#include "budget/lease/bill.h"

namespace icon::simulate {
namespace {

constexpr UtcMillis kHoldMs = kHourMs;  // as the agent's
constexpr std::string_view kOriginName = "origin";

agent::ProviderView view_of(const Node& node, std::int64_t slot_seconds) {
  agent::ProviderView view;
  view.names = {node.name, node.domain, node.id, false};
  view.source = "dns";
  view.offer.emplace();
  view.offer->provider = node.key;
  view.offer->provider_name = node.name;
  view.offer->slot_seconds = slot_seconds;
  view.offer->price_ucredits = node.price_ucredits;
  return view;
}

agent::ProviderView origin_view(std::int64_t slot_seconds) {
  agent::ProviderView view;
  view.names = {std::string(kOriginName), {}, std::string(kOriginName), true};
  view.source = "configured";
  view.offer.emplace();
  view.offer->slot_seconds = slot_seconds;
  return view;
}

}  // namespace

Tenant::Tenant(const World& world, const agent::Policy& policy, std::uint32_t index)
    : world_(world), policy_(policy), service_(world.services[index]), curve_(hour_curve(policy)) {}

Status Tenant::open(UtcMillis now_ms) {
  ICON_TRY(auto purse, budget::Purse::create(store_, policy_.budget_ucredits, now_ms));
  purse_.emplace(std::move(purse));
  counted_ms_ = now_ms;
  set_hour(0);
  return {};
}

void Tenant::watch(const Market& market, UtcMillis now_ms) {
  constexpr std::int64_t kDayHours = 24;
  for (std::int64_t hour = 0; hour < kDayHours; ++hour) {
    set_hour(hour);
    (void)round(market, now_ms - (kDayHours - hour) * kHourMs);
  }
  history_.favourite_id.clear();
  history_.rounds_won = 0;
  set_hour(0);
}

void Tenant::account(UtcMillis now_ms, RttTally& tally) {
  const auto ms = now_ms - counted_ms_;
  if (ms <= 0) return;
  counted_ms_ = now_ms;
  result_.worth = budget::saturating_add(
      result_.worth,
      static_cast<wire::MicroCredits>(static_cast<__int128>(worth_rate_) * ms / kHourMs));
  for (const auto& group : service_.groups)
    tally.add(rtt_us_at(world_, service_, group, place_), connections_at(world_, group, hour_), ms);
}

void Tenant::set_hour(std::int64_t hour) {
  hour_ = hour;
  worth_rate_ = worth_per_hour(world_, service_, hour_, place_, curve_);
  seen_.reset();
}

void Tenant::look() {
  auto& seen = seen_.emplace();
  std::vector<const UserGroup*> groups;
  for (const auto& group : service_.groups) {
    const auto connections = connections_at(world_, group, hour_);
    if (connections == 0) continue;
    groups.push_back(&group);
    seen.prefixes.push_back(
        {group.prefix, connections, rtt_us_at(world_, service_, group, place_), connections});
  }
  const auto add = [&](agent::ProviderView view, std::int32_t place) {
    for (const auto* group : groups)
      view.measured_rtt_us[group->prefix] = rtt_us_at(world_, service_, *group, place);
    seen.providers.push_back(std::move(view));
  };
  for (const auto node : service_.known)
    add(view_of(world_.nodes[node], world_.slot_seconds), static_cast<std::int32_t>(node));
  add(origin_view(world_.slot_seconds), kOrigin);
  seen.here.name = seen.here.id = kOriginName;
  if (place_ == kOrigin) return;
  const auto& here = world_.nodes[static_cast<std::size_t>(place_)];
  seen.here = {here.name, here.id, lease_.price, world_.slot_seconds};
}

void Tenant::ask_prices(const Market& market) {
  seen_->budget_left_ucredits = purse_->available();
  seen_->here.price_ucredits = lease_.price;
  for (std::size_t i = 0; i < service_.known.size(); ++i) {
    auto& view = seen_->providers[i];
    view.rejection.reset();
    if (market.free_slots(static_cast<std::int32_t>(service_.known[i])) == 0)
      view.rejection = budget::Rejection{"resources_short", "it has no slot left"};
  }
}

std::optional<budget::Decision> Tenant::round(const Market& market, UtcMillis now_ms) {
  if (!seen_) look();
  if (agent::nothing_to_ask(seen_->prefixes, seen_->here, policy_)) {
    history_.nothing_asked(now_ms);
    return std::nullopt;
  }
  ask_prices(market);
  auto decision = budget::decide(agent::decision_input(policy_, *seen_, history_), now_ms);
  history_ = decision.history;
  return decision;
}

std::int32_t Tenant::place_of(std::size_t candidate) const {
  return candidate < service_.known.size() ? static_cast<std::int32_t>(service_.known[candidate])
                                           : kOrigin;
}

void Tenant::order_ended(UtcMillis now_ms) {
  history_.last_move_ms = now_ms;
  history_.rounds_won = 0;
  ordering = false;
}

void Tenant::forget() { seen_.reset(); }

bool Tenant::hold(wire::MicroCredits limit, UtcMillis now_ms) {
  next_ = {std::to_string(++holds_), 0, limit, false};
  if (purse_->hold(next_.hold, limit, now_ms + kHoldMs, now_ms)) return true;
  next_ = {};
  return false;
}

void Tenant::release_hold(UtcMillis now_ms) {
  (void)purse_->release(next_.hold, now_ms);
  next_ = {};
  ++result_.outbid;
}

Status Tenant::pay(wire::MicroCredits price, UtcMillis now_ms) {
  next_.price = price;
  next_.settled = true;
  return purse_->settle(next_.hold, price, now_ms);
}

Status Tenant::refund_rest(UtcMillis now_ms, Market& market) {
  if (place_ == kOrigin) return {};
  const auto cost = budget::lease::charge(
      {lease_.start_ms, world_.slot_seconds, lease_.price, now_ms - lease_.start_ms});
  market.earn(place_, cost);
  if (cost == lease_.price) return {};
  return purse_->refund(lease_.hold, lease_.price - cost, now_ms);
}

Status Tenant::move(std::int32_t place, UtcMillis now_ms, Market& market) {
  ICON_CHECK(refund_rest(now_ms, market));
  if (place_ != kOrigin) market.release(place_);
  place_ = place;
  lease_ = place == kOrigin ? Paid{} : std::exchange(next_, {});
  lease_.start_ms = now_ms;
  set_hour(hour_);
  ++result_.moves;
  result_.moved_ms.push_back(now_ms);
  return {};
}

Status Tenant::cancel(UtcMillis now_ms, Market& market) {
  const auto given_up = std::exchange(next_, {});
  ordering = false;
  if (given_up.hold.empty()) return {};
  if (!given_up.settled) return purse_->release(given_up.hold, now_ms);
  market.release(target);
  return purse_->refund(given_up.hold, given_up.price, now_ms);
}

Result<bool> Tenant::renew(UtcMillis now_ms, Market& market) {
  const Paid renewed{std::to_string(++holds_), now_ms, lease_.price, true};
  if (!purse_->hold(renewed.hold, renewed.price, now_ms + kHoldMs, now_ms)) {
    ++result_.expelled;
    return false;
  }
  ICON_CHECK(purse_->settle(renewed.hold, renewed.price, now_ms));
  ICON_CHECK(refund_rest(now_ms, market));  // nothing: it was served to the end
  lease_ = renewed;
  return true;
}

Status Tenant::leave(UtcMillis now_ms, Market& market) {
  if (place_ == kOrigin) return {};
  ICON_CHECK(refund_rest(now_ms, market));
  market.release(place_);
  place_ = kOrigin;
  return {};
}

}  // namespace icon::simulate
