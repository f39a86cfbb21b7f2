// The ICON's money on its disk: the purse in the run directory, under the budget of the policy.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "budget/purse/purse.h"
#include "budget/purse/sqlite_purse_store.h"
#include "budget/purse/tree.h"

namespace icon::agent {

// Longer than any migration may take: what a hold pays for must not expire under way.
inline constexpr Millis kHoldLifetime{3'600'000};

// Owner: the agent. One thread. Holds no descriptor between calls.
class Wallet {
 public:
  struct Totals {
    wire::MicroCredits budget_ucredits = 0;
    wire::MicroCredits held_ucredits = 0;
    wire::MicroCredits spent_ucredits = 0;
    int alert_percent = 0;  // 0, 50, 80, 100: so much of the budget is gone or promised
    wire::MicroCredits shared_ucredits = 0;  // with children, and not come back
  };

  // Opens the purse at `path`, or makes it. A new policy's budget is taken over unless more is
  // already spent or held (logged; the old one stays). Errors: of the purse and its store; a
  // damaged purse is an error, never a fresh start.
  static Result<Wallet> open(const std::string& path, wire::MicroCredits budget, UtcMillis now_ms);

  Status hold(const std::string& id, wire::MicroCredits amount, UtcMillis now_ms);
  Status settle(const std::string& id, UtcMillis now_ms);  // pays all of what is held
  Status settle_part(const std::string& id, wire::MicroCredits amount, UtcMillis now_ms);
  Status release(const std::string& id, UtcMillis now_ms);
  // What came back so far of what a settled hold paid. Errors: of Purse::refund.
  Status refund(const std::string& id, wire::MicroCredits total, UtcMillis now_ms);
  // The ICON's part in its family's budget (budget/purse/tree.h).
  Result<wire::Envelope> share(const KeyPair& key, const budget::Lineage& lineage,
                               const PublicKey& child, wire::MicroCredits total, UtcMillis now_ms);
  Status accept_share(const budget::Lineage& lineage, const wire::Envelope& share,
                      UtcMillis now_ms);
  Result<wire::Envelope> return_rest(const KeyPair& key, const budget::Lineage& lineage,
                                     const PublicKey& grantor, const PublicKey& to,
                                     UtcMillis now_ms);
  Status accept_return(const budget::Lineage& lineage, const wire::Envelope& returned,
                       std::span<const wire::Envelope> path, UtcMillis now_ms);
  void expire(UtcMillis now_ms);
  // Holds that are neither paid nor given back: after a crash, somebody must say which.
  std::vector<std::string> open_holds() const;
  wire::MicroCredits available() const { return purse_->available(); }
  Totals totals() const;

 private:
  Wallet() = default;
  // Says so, once, when 50, 80 or 100 % of the budget are gone or promised.
  Status told(Status outcome);

  int alert_level_ = 0;
  std::unique_ptr<budget::SqlitePurseStore> store_;
  std::optional<budget::Purse> purse_;
};

}  // namespace icon::agent
