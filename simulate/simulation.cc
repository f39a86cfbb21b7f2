#include "simulate/simulation.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>

#include "simulate/demand.h"
#include "simulate/events.h"
#include "simulate/market.h"

namespace icon::simulate {
namespace {

constexpr UtcMillis kStartMs = 1'767'225'600'000;  // 2026-01-01
constexpr UtcMillis kSettleMs = 2'000;             // from a move to the first round, as the agent's
constexpr UtcMillis kCallMs = 10'000;              // a node takes bids for so long
constexpr UtcMillis kStageMs = 5'000;              // from the lease to the switch
constexpr std::int64_t kEventsPerQuestion = 64;

using Kind = Happening::Kind;

class Simulation {
 public:
  Simulation(const World& world, const agent::Policy& policy, const Run& run, const GoOn& go_on)
      : world_(world),
        policy_(policy),
        go_on_(go_on),
        curve_(hour_curve(policy)),
        options_(run),
        market_(world, run.seed) {
    for (std::uint32_t i = 0; i < world.services.size(); ++i)
      tenants_.emplace_back(world, policy, i);
  }

  Result<Outcome> run();

 private:
  Status step(const Happening& what);
  Status begin_hour();
  void end_hour();
  Status round(std::uint32_t index);
  void order(std::uint32_t index, const budget::Decision& decision);
  Status close(std::int32_t node);
  Status moved(std::uint32_t index);
  Status slot_end(std::uint32_t index);
  void plan_round(std::uint32_t index, UtcMillis when_ms);
  void plan_slot_end(std::uint32_t index);
  Status close_accounts();

  UtcMillis end_ms() const { return kStartMs + world_.hours * kHourMs; }
  // Agents did not all start at once.
  UtcMillis phase_ms(std::uint32_t index) const {
    return static_cast<UtcMillis>((index * 2'654'435'761ULL + options_.seed) %
                                  static_cast<std::uint64_t>(policy_.interval_ms));
  }

  const World& world_;
  const agent::Policy& policy_;
  const GoOn& go_on_;
  const budget::ValueCurve curve_;
  const Run options_;
  Market market_;
  Events events_;
  std::deque<Tenant> tenants_;
  UtcMillis now_ms_ = kStartMs;
  std::int64_t hour_ = -1;
  Outcome outcome_;
};

void Simulation::plan_round(std::uint32_t index, UtcMillis when_ms) {
  events_.at(when_ms, {Kind::kRound, index, ++tenants_[index].round_plan});
}

void Simulation::plan_slot_end(std::uint32_t index) {
  auto& tenant = tenants_[index];
  events_.at(tenant.slot_end_ms(), {Kind::kSlotEnd, index, ++tenant.slot_plan});
}

// Between two hours nothing changes but what the ICONs do themselves, so that an ICON whose
// decision was to stay would decide the same until then: its rounds in between are left out.
Status Simulation::begin_hour() {
  end_hour();
  ++hour_;
  outcome_.by_hour.emplace_back();
  for (std::uint32_t i = 0; i < tenants_.size(); ++i) {
    tenants_[i].set_hour(hour_);
    if (!tenants_[i].ordering) plan_round(i, now_ms_ + phase_ms(i));
  }
  events_.at(now_ms_ + kHourMs, {Kind::kHour, 0, 0});
  return {};
}

void Simulation::end_hour() {
  if (hour_ < 0) return;
  auto& hour = outcome_.by_hour.back();
  wire::MicroCredits worth = 0;
  for (auto& tenant : tenants_) {
    tenant.account(now_ms_, hour.icon);
    worth += tenant.result().worth;
    hour.spent += tenant.spent();
    const auto& service = tenant.service();
    for (const auto& group : service.groups) {
      const auto connections = connections_at(world_, group, hour_);
      hour.origin.add(world_.origin_rtt_us(group, service), connections, kHourMs);
      outcome_.full_worth += budget::demand_value(curve_, connections, 0);
    }
    hour.origin_worth += worth_per_hour(world_, service, hour_, kOrigin, curve_);
  }
  hour.worth = worth - outcome_.worth;
  outcome_.worth = worth;
  outcome_.origin_worth += hour.origin_worth;
  ++outcome_.hours;
}

Status Simulation::round(std::uint32_t index) {
  auto& tenant = tenants_[index];
  ++outcome_.rounds;
  const auto decision = tenant.round(market_, now_ms_);
  if (!decision) {
    tenant.forget();
    return {};
  }
  ++outcome_.decisions;
  if (decision->move && decision->winner) {
    order(index, *decision);
  } else if (decision->evidence.reason == "rounds") {
    plan_round(index, now_ms_ + policy_.interval_ms);
  } else if (decision->evidence.reason == "cooldown") {
    const auto over_ms = decision->history.last_move_ms + policy_.cooldown_ms;
    plan_round(index, std::max(over_ms, now_ms_ + policy_.interval_ms));
  } else {
    tenant.forget();
  }
  return {};
}

// Bids the most at which it would still have chosen that node.
void Simulation::order(std::uint32_t index, const budget::Decision& decision) {
  auto& tenant = tenants_[index];
  tenant.target = tenant.place_of(*decision.winner);
  tenant.ordering = true;
  if (tenant.target == kOrigin) return events_.at(now_ms_ + kStageMs, {Kind::kMoved, index, 0});
  auto limit = world_.nodes[static_cast<std::size_t>(tenant.target)].price_ucredits;
  for (const auto& change : decision.evidence.would_change)
    if (change.code == "winner_price_over") limit = std::max(limit, change.amount);
  if (!tenant.hold(limit, now_ms_)) {
    tenant.order_ended(now_ms_);
    return plan_round(index, now_ms_ + policy_.cooldown_ms + policy_.interval_ms);
  }
  if (market_.bid(tenant.target, index, limit))
    events_.at(now_ms_ + kCallMs, {Kind::kClose, static_cast<std::uint32_t>(tenant.target), 0});
}

Status Simulation::close(std::int32_t node) {
  for (const auto& sale : market_.close(node)) {
    auto& tenant = tenants_[sale.service];
    if (sale.price_ucredits) {
      ICON_CHECK(tenant.pay(*sale.price_ucredits, now_ms_));
      events_.at(now_ms_ + kStageMs, {Kind::kMoved, sale.service, 0});
    } else {
      tenant.release_hold(now_ms_);
      tenant.order_ended(now_ms_);
      plan_round(sale.service, now_ms_ + kSettleMs);
    }
  }
  return {};
}

Status Simulation::moved(std::uint32_t index) {
  auto& tenant = tenants_[index];
  tenant.account(now_ms_, outcome_.by_hour.back().icon);
  if (tenant.place() != tenant.target) {
    ICON_CHECK(tenant.move(tenant.target, now_ms_, market_));
    ++outcome_.by_hour.back().moves;
  }
  tenant.order_ended(now_ms_);
  ++tenant.slot_plan;
  if (tenant.place() != kOrigin) plan_slot_end(index);
  plan_round(index, now_ms_ + kSettleMs);
  return {};
}

Status Simulation::slot_end(std::uint32_t index) {
  auto& tenant = tenants_[index];
  ICON_TRY(const bool renewed, tenant.renew(now_ms_, market_));
  if (renewed) {
    plan_slot_end(index);
    return {};
  }
  tenant.account(now_ms_, outcome_.by_hour.back().icon);
  ICON_CHECK(tenant.move(kOrigin, now_ms_, market_));
  ++outcome_.by_hour.back().moves;
  if (!tenant.ordering) plan_round(index, now_ms_ + kSettleMs);
  return {};
}

Status Simulation::step(const Happening& what) {
  switch (what.kind) {
    case Kind::kHour:
      return begin_hour();
    case Kind::kRound:
      if (what.number != tenants_[what.subject].round_plan || tenants_[what.subject].ordering)
        return {};
      return round(what.subject);
    case Kind::kClose:
      return close(static_cast<std::int32_t>(what.subject));
    case Kind::kMoved:
      return moved(what.subject);
    case Kind::kSlotEnd:
      if (what.number != tenants_[what.subject].slot_plan) return {};
      return slot_end(what.subject);
  }
  return {};
}

// Everybody leaves, and every micro-credit and slot is looked for.
Status Simulation::close_accounts() {
  outcome_.auctions = market_.auctions();
  for (auto& tenant : tenants_) {
    // Paid or held, but the world ended before the move.
    if (tenant.ordering) ICON_CHECK(tenant.cancel(now_ms_, market_));
    ICON_CHECK(tenant.leave(now_ms_, market_));
    const auto& result = tenant.result();
    outcome_.cost += tenant.spent();
    outcome_.moves += result.moves;
    outcome_.outbid += result.outbid;
    outcome_.expelled += result.expelled;
    const auto& moved = result.moved_ms;
    for (std::size_t i = 0, first = 0; i < moved.size(); ++i) {
      while (moved[i] - moved[first] >= kHourMs) ++first;
      outcome_.moves_in_an_hour_max =
          std::max(outcome_.moves_in_an_hour_max, static_cast<std::int64_t>(i - first + 1));
    }
    const auto& purse = tenant.purse();
    if (purse.held() != 0 || purse.spent() > policy_.budget_ucredits)
      return fail(Code::kInternal, "simulation: a purse is over its budget, or holds money still");
  }
  if (outcome_.cost != market_.revenue())
    return fail(Code::kInternal, fmt::format("simulation: {} micro-credits spent, {} earned",
                                             outcome_.cost, market_.revenue()));
  if (!market_.all_free()) return fail(Code::kInternal, "simulation: a slot is lost");
  return {};
}

Result<Outcome> Simulation::run() {
  for (auto& tenant : tenants_) {
    ICON_CHECK(tenant.open(now_ms_));
    if (options_.watched) tenant.watch(market_, now_ms_);
  }
  events_.at(kStartMs, {Kind::kHour, 0, 0});
  for (std::int64_t count = 0; events_.next_ms() < end_ms(); ++count) {
    const auto hours_done = static_cast<double>(events_.next_ms() - kStartMs) / kHourMs;
    if (count % kEventsPerQuestion == 0 && !go_on_(hours_done))
      return fail(Code::kCancelled, "simulation: ended early");
    now_ms_ = events_.next_ms();
    ICON_CHECK(step(events_.pop()));
  }
  now_ms_ = end_ms();
  end_hour();
  ICON_CHECK(close_accounts());
  return std::move(outcome_);
}

}  // namespace

Result<Outcome> simulate(const World& world, const agent::Policy& policy, const Run& run,
                         const GoOn& go_on) {
  return Simulation(world, policy, run, go_on).run();
}

}  // namespace icon::simulate
