// One simulated ICON: where it is, what it sees, its purse and its lease. The decisions are the
// agent's own.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/decide.h"
#include "budget/purse/purse.h"
#include "simulate/demand.h"
#include "simulate/market.h"
#include "simulate/tally.h"

namespace icon::simulate {

// What one ICON has come to.
struct Account {
  wire::MicroCredits worth = 0;  // of the connections that it served, as near as they were
  std::int64_t moves = 0;
  std::int64_t outbid = 0;
  std::int64_t expelled = 0;  // back at the origin because the purse was empty
  std::vector<UtcMillis> moved_ms;
};

// Owner: the simulation, which outlives it with everything that is borrowed. Never copied: the
// purse refers to its store.
class Tenant {
 public:
  Tenant(const World& world, const agent::Policy& policy, std::uint32_t index);
  Tenant(const Tenant&) = delete;
  Tenant& operator=(const Tenant&) = delete;

  // Makes the purse. Errors: of the purse.
  Status open(UtcMillis now_ms);
  // The day before: it looks at its users every hour, and stays.
  void watch(const Market& market, UtcMillis now_ms);
  // Counts the time since the last call at the present place and hour.
  void account(UtcMillis now_ms, RttTally& tally);
  void set_hour(std::int64_t hour);

  // One round of the agent: nullopt when its users are served well and nobody was asked.
  std::optional<budget::Decision> round(const Market& market, UtcMillis now_ms);
  // The node of a candidate of the last round, or kOrigin.
  std::int32_t place_of(std::size_t candidate) const;
  // What the agent notes when an order has ended, whichever way.
  void order_ended(UtcMillis now_ms);
  // Nothing changes by itself now: the memory of what was seen is given back.
  void forget();

  // Holds the most that it bids; false when the purse has not got it.
  bool hold(wire::MicroCredits limit, UtcMillis now_ms);
  void release_hold(UtcMillis now_ms);
  // Pays for the held slot; it begins with the move.
  Status pay(wire::MicroCredits price, UtcMillis now_ms);
  // Moves in, with the slot that was paid last (none at the origin), and hands back the old one.
  Status move(std::int32_t place, UtcMillis now_ms, Market& market);
  // What was held or paid for a move that does not come.
  Status cancel(UtcMillis now_ms, Market& market);
  // The slot is over: pays for the next one, or false when the purse has not got it.
  Result<bool> renew(UtcMillis now_ms, Market& market);
  // At the end of the world.
  Status leave(UtcMillis now_ms, Market& market);

  std::int32_t place() const { return place_; }
  UtcMillis slot_end_ms() const { return lease_.start_ms + world_.slot_seconds * 1000; }
  const Service& service() const { return service_; }
  const Account& result() const { return result_; }
  wire::MicroCredits spent() const { return purse_->state().spent(); }
  const budget::PurseState& purse() const { return purse_->state(); }

  // Plans of the simulation: at most one of each sort counts, the newest.
  std::uint32_t round_plan = 0;
  std::uint32_t slot_plan = 0;
  bool ordering = false;
  std::int32_t target = kOrigin;

 private:
  struct Paid {
    std::string hold;
    UtcMillis start_ms = 0;
    wire::MicroCredits price = 0;
    bool settled = false;
  };
  void look();
  void ask_prices(const Market& market);
  Status refund_rest(UtcMillis now_ms, Market& market);

  const World& world_;
  const agent::Policy& policy_;
  const Service& service_;
  const budget::ValueCurve curve_;
  std::int64_t hour_ = 0;
  std::int32_t place_ = kOrigin;
  UtcMillis counted_ms_ = 0;
  wire::MicroCredits worth_rate_ = 0;  // per hour, here and now
  budget::MemoryPurseStore store_;
  std::optional<budget::Purse> purse_;
  std::int64_t holds_ = 0;
  Paid lease_;
  Paid next_;  // held or paid, not yet moved in
  budget::DecisionHistory history_;
  std::optional<agent::Observations> seen_;
  Account result_;
};

}  // namespace icon::simulate
