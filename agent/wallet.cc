#include "agent/wallet.h"

#include <utility>

#include "base/log.h"

namespace icon::agent {

Result<Wallet> Wallet::open(const std::string& path, wire::MicroCredits budget, UtcMillis now_ms) {
  Wallet wallet;
  auto store = budget::SqlitePurseStore::open(path);
  const bool fresh = !store && store.error().code == Code::kNotFound;
  if (fresh) store = budget::SqlitePurseStore::create(path);
  if (!store) return fail(store.error());
  wallet.store_ = std::make_unique<budget::SqlitePurseStore>(std::move(*store));

  auto purse = budget::Purse::open(*wallet.store_);
  // A crash between making the file and writing the budget leaves an empty log.
  if (!purse && purse.error().code == Code::kNotFound)
    purse = budget::Purse::create(*wallet.store_, budget, now_ms);
  if (!purse) return fail(purse.error());
  wallet.purse_.emplace(std::move(*purse));

  if (wallet.purse_->state().cap() != budget) {
    const auto status = wallet.purse_->set_budget(budget, now_ms);
    if (!status && status.error().code != Code::kLimit) return fail(status.error());
    if (!status)
      log::warn("purse.budget_kept", {{"budget_ucredits", wallet.purse_->state().cap()},
                                      {"wanted_ucredits", budget},
                                      {"message", status.error().message}});
  }
  wallet.alert_level_ = budget::alert_level(wallet.purse_->state());
  return wallet;
}

Status Wallet::told(Status outcome) {
  const auto& state = purse_->state();
  const int level = budget::alert_level(state);
  if (level > alert_level_)
    log::warn("purse.alert", {{"level_percent", level},
                              {"budget_ucredits", state.budget()},
                              {"available_ucredits", state.available()}});
  alert_level_ = level;
  return outcome;
}

Status Wallet::hold(const std::string& id, wire::MicroCredits amount, UtcMillis now_ms) {
  return told(purse_->hold(id, amount, now_ms + kHoldLifetime.count(), now_ms));
}

Status Wallet::settle(const std::string& id, UtcMillis now_ms) {
  const auto& holds = purse_->state().holds();
  const auto found = holds.find(id);
  if (found == holds.end()) return fail(Code::kNotFound, "no hold " + id);
  return told(purse_->settle(id, found->second.amount, now_ms));
}

Status Wallet::settle_part(const std::string& id, wire::MicroCredits amount, UtcMillis now_ms) {
  return told(purse_->settle(id, amount, now_ms));
}

Status Wallet::release(const std::string& id, UtcMillis now_ms) {
  return told(purse_->release(id, now_ms));
}

Status Wallet::refund(const std::string& id, wire::MicroCredits total, UtcMillis now_ms) {
  return told(purse_->refund(id, total, now_ms));
}

Result<wire::Envelope> Wallet::share(const KeyPair& key, const budget::Lineage& lineage,
                                     const PublicKey& child, wire::MicroCredits total,
                                     UtcMillis now_ms) {
  auto shared = budget::share_with(*purse_, key, lineage, child, total, now_ms);
  (void)told({});
  return shared;
}

Status Wallet::accept_share(const budget::Lineage& lineage, const wire::Envelope& share,
                            UtcMillis now_ms) {
  return told(budget::accept_share(*purse_, lineage, share, now_ms));
}

Result<wire::Envelope> Wallet::return_rest(const KeyPair& key, const budget::Lineage& lineage,
                                           const PublicKey& grantor, const PublicKey& to,
                                           UtcMillis now_ms) {
  return budget::return_rest(*purse_, key, lineage, grantor, to, now_ms);
}

Status Wallet::accept_return(const budget::Lineage& lineage, const wire::Envelope& returned,
                             std::span<const wire::Envelope> path, UtcMillis now_ms) {
  return told(budget::accept_return(*purse_, lineage, returned, path, now_ms));
}

void Wallet::expire(UtcMillis now_ms) {
  if (const auto expired = purse_->expire(now_ms); !expired)
    log::warn("purse.expire_failed", {{"message", expired.error().message}});
}

std::vector<std::string> Wallet::open_holds() const {
  std::vector<std::string> ids;
  for (const auto& [id, hold] : purse_->state().holds())
    if (hold.state == budget::Hold::State::kHeld) ids.push_back(id);
  return ids;
}

Wallet::Totals Wallet::totals() const {
  const auto& state = purse_->state();
  return {state.budget(), state.held(), state.spent(), budget::alert_level(state), state.shared()};
}

}  // namespace icon::agent
