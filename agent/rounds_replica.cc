// Rounds, as far as they are about replicas: the order for one, and what becomes of who we are.
#include "agent/rounds.h"
#include "base/log.h"

namespace icon::agent {

void Rounds::start_replica_order(std::string target, std::string reason) {
  tasks_.spawn("replica_order", replica_order_task(std::move(target), std::move(reason)));
}

// Whom the replica is made for: the users who would be nearer to it than to us.
std::vector<wire::KinGroup> Rounds::groups_for(const KnownProvider& provider) const {
  const auto seen = observations();
  std::vector<ProviderView> there{provider.view};
  promises_.apply(there);
  const auto estimates = estimates_for(there.front(), seen, options_.policy);
  std::vector<wire::KinGroup> groups;
  for (std::size_t i = 0; i < seen.prefixes.size() && i < estimates.size(); ++i)
    if (estimates[i].rtt_us && *estimates[i].rtt_us < seen.prefixes[i].rtt_us)
      groups.push_back(
          {seen.prefixes[i].prefix, seen.prefixes[i].connections, seen.prefixes[i].rtt_us});
  return groups;
}

Task<Status> Rounds::replica_order(std::string target, std::string reason) {
  if (!may_buy())
    co_return fail(Code::kUnavailable,
                   "this ICON has no purse or no key of its own: see agent.log");
  const bool is_own = reason != "operator";
  Result<PurchaseRequest> wish = fail(Code::kInternal, "");
  if (is_own)
    wish = co_await decided_move(std::move(target));
  else
    wish = co_await operators_move(std::move(target));
  if (!wish) co_return fail(wish.error());
  auto request = std::move(*wish);
  wire::Birth birth;
  birth.parent = key()->public_key();
  birth.mode = options_.policy.replicate.mode;
  birth.parent_epoch = self_->epoch;
  if (const auto& own = options_.identity.birth) {
    birth.ancestors.push_back(own->parent);
    birth.ancestors.insert(birth.ancestors.end(), own->ancestors.begin(), own->ancestors.end());
  }
  if (birth.ancestors.size() > wire::kAncestorsMax)
    co_return fail(Code::kLimit, "this family tree is deep enough");
  request.reason = "replica";
  request.birth = std::move(birth);
  std::vector<wire::KinGroup> groups;
  if (is_own) groups = groups_for(request.provider);
  request.before_order = [this, provider = request.provider, groups,
                          is_own](const Purchase& purchase) {
    const auto noted = kinship_.ordered(purchase, provider, groups, is_own);
    if (noted && purchase.replica && purchase.replica->lease)
      tenant_.replica_bought(*purchase.replica->lease, purchase.replica->child,
                             purchase.provider_name, provider.view.api);
    return noted;
  };
  co_return co_await buyer_->buy(*self_, options_.policy, std::move(request), *wallet_, *chronicle_,
                                 purchase_);
}

Task<void> Rounds::replica_order_task(std::string target, std::string reason) {
  refusal_.reset();
  const auto status = co_await replica_order(target, reason);
  if (status) {
    later(event::OrderAccepted{purchase_.migration});
    co_return;
  }
  log::warn("replica.not_ordered", {{"to", target},
                                    {"code", to_string(status.error().code)},
                                    {"message", status.error().message}});
  later(event::OrderFailed{status.error().message});
  if (status.error().code == Code::kCancelled || reason != "operator") co_return;
  const auto evidence = refusal_ ? *refusal_ : refusal(target, status.error().message);
  co_await post(evidence);
}

void Rounds::set_draining(bool draining) {
  tenant_.set_draining(draining);
  if (std::exchange(leaving_, draining) != draining) keep_names();
}

// The name is the family's: its first ICON keeps it, for its replicas too.
void Rounds::keep_names() {
  if (!dns_.used() || options_.identity.is_child || !self_ || !key() ||
      key()->public_key() != self_->icon)
    return;
  dns_.keep({self_->public_address, tenant_.slot_end_ms(), kinship_.serving_addresses(), leaving_},
            self_->icon.id());
}

void Rounds::forget_key() {
  // They borrow the key.
  survey_.ask_pings_with(nullptr);
  buyer_.reset();
  chronicle_.reset();
  options_.identity = {};
  has_forgotten_key_ = true;
}

void Rounds::take_identity(Identity identity) {
  has_forgotten_key_ = false;
  const bool is_copy = self_ && identity.key && identity.key->public_key() != self_->icon;
  options_.identity = std::move(identity);
  use_key();
  if (!is_copy) return;
  // Purse, history, promises, order and users are the parent's.
  wallet_.reset();
  self_.reset();
  history_ = {};
  purchase_ = {};
  refusal_.reset();
  users_.clear();
  estimates_us_.clear();
  last_posted_.clear();
  last_decision_.clear();
  survey_.forget();
  promises_.forget();
  tenant_.forget();
  kinship_.forget();
  bidder_.forget();
  dns_.forget();
}

}  // namespace icon::agent
