// Rounds, as far as they are about a move that was decided or asked for: what is bought for it, the
// order, and what became of it.
#include <algorithm>

#include "agent/rounds.h"
#include "base/encoding.h"
#include "base/log.h"

namespace icon::agent {
namespace {

// An offer that runs out sooner is asked for again before it is taken.
constexpr Millis kOfferLeftMin{3'000};

std::string_view name_of(action::MoveOutcome outcome) {
  switch (outcome) {
    case action::MoveOutcome::kMoved:
      return "moved";
    case action::MoveOutcome::kFailed:
      return "failed";
    case action::MoveOutcome::kUnknown:
      return "unknown";
  }
  return "unknown";
}

}  // namespace

Task<Result<PurchaseRequest>> Rounds::decided_move(std::string target) {
  const auto& providers = survey_.providers();
  const auto found = std::find_if(providers.begin(), providers.end(), [&](const auto& provider) {
    return provider.view.names.id == target;
  });
  if (found == providers.end())
    co_return fail(Code::kNotFound, "provider " + short_id(target) + " is gone");
  KnownProvider provider = *found;
  if (const auto won = bidder_.won(); won && won->view.names.id == target) {
    provider.view.offer = won->view.offer;
    provider.view.rejection.reset();
    provider.offer = won->offer;
    bidder_.take();
  }
  if (!provider.view.offer ||
      provider.view.offer->expires_ms < clock_.utc_ms() + kOfferLeftMin.count())
    provider = co_await survey_.ask_offer(provider, options_.policy, money_left());
  if (provider.view.rejection)
    co_return fail(Code::kRefused,
                   provider.view.rejection->code + ": " + provider.view.rejection->message);
  auto seen = observations();
  std::vector<ProviderView> chosen{provider.view};
  promises_.apply(chosen);
  KnownProvider promising = provider;
  promising.view = std::move(chosen.front());
  promises_.prepare(promising, seen, options_.policy, here_as_provider());
  co_return PurchaseRequest{std::move(provider), "latency", move_evidence_};
}

KnownProvider Rounds::here_as_provider() const {
  KnownProvider here;
  here.view.names.name = self_->provider_name;
  here.view.names.id = self_->supervisor.id();
  here.view.api = self_->api;
  return here;
}

// Among what is known, else by a discovery for this purpose.
Task<Result<KnownProvider>> Rounds::locate(std::string target) {
  const auto configured = configured_providers(options_.policy, self_->providers);
  std::vector<KnownProvider> known = survey_.providers();
  discovery::DiscoveryReport listed;
  listed.providers = configured;
  std::vector<discovery::Rejection> ignored;
  discovery::merge_providers(listed.providers, ignored);
  if (known.empty()) known = known_providers(listed, {});
  auto found = find_provider(known, target);
  if (found || found.error().code != Code::kNotFound) co_return found;
  users_ = table_.snapshot();
  auto traced = representatives(users_, SurveyLimits{}.users_max);
  users_.resize(std::min(users_.size(), kDecidedPrefixesMax));
  ICON_CO_CHECK(co_await survey_.discover(std::move(traced), configured));
  co_return find_provider(survey_.providers(), target);
}

Task<Result<PurchaseRequest>> Rounds::operators_move(std::string target) {
  ICON_CO_TRY(KnownProvider provider, co_await locate(target));
  auto& view = provider.view;
  const budget::AllowList allowed{options_.policy.allow, options_.policy.deny};
  if (view.names.id != here_.id) {
    provider = co_await survey_.ask_offer(std::move(provider), options_.policy, money_left());
    // The policy is the owner's word; an operator of the host does not overrule it.
    if (const auto barred = allowed.check(view.names)) view.rejection = barred;
  }
  if (view.names.id == here_.id)
    view.rejection = budget::Rejection{"current_host", "the ICON is already there"};
  if (view.rejection && options_.policy.budget_ucredits == 0)
    view.rejection->message += " (its policy has no budget: set one, like 'budget: 1')";
  const auto evidence = operator_evidence(options_.policy, provider, target, here_.name, here_.id,
                                          money_left(), clock_.utc_ms());
  if (view.rejection) {
    refusal_ = evidence;
    co_return fail(Code::kRefused, view.rejection->code + ": " + view.rejection->message);
  }
  co_await post(evidence);
  promises_.prepare(provider, Observations{}, options_.policy, here_as_provider());
  co_return PurchaseRequest{std::move(provider), "operator", evidence.to_json()};
}

Task<Status> Rounds::order(std::string target, std::string reason) {
  if (!may_buy())
    co_return fail(Code::kUnavailable,
                   "this ICON has no purse or no key of its own: see agent.log");
  Result<PurchaseRequest> request = fail(Code::kInternal, "");
  if (reason == "operator")
    request = co_await operators_move(target);
  else
    request = co_await decided_move(target);
  if (!request) co_return fail(request.error());
  co_return co_await buyer_->buy(*self_, options_.policy, std::move(*request), *wallet_,
                                 *chronicle_, purchase_);
}

Task<void> Rounds::order_task(std::string target, std::string reason) {
  refusal_.reset();
  const auto status = co_await order(target, reason);
  if (status) {
    later(event::OrderAccepted{purchase_.migration});
    co_return;
  }
  log::warn("migration.not_ordered", {{"to", target},
                                      {"reason", reason},
                                      {"code", to_string(status.error().code)},
                                      {"message", status.error().message}});
  // An operator waits for the answer; also a cancelled order tells its end to the lifecycle first.
  later(event::OrderFailed{status.error().message});
  if (reason == "operator" && status.error().code != Code::kCancelled) {
    const auto evidence = refusal_ ? *refusal_ : refusal(target, status.error().message);
    co_await post(evidence);
  }
}

budget::Evidence Rounds::refusal(const std::string& target, const std::string& why) const {
  return operator_refusal(options_.policy, target, why, here_.name, here_.id, clock_.utc_ms());
}

void Rounds::refuse(const std::string& target, const std::string& why) {
  log::warn("migration.not_ordered",
            {{"to", target}, {"reason", "operator"}, {"code", "conflict"}, {"message", why}});
  tasks_.spawn("refusal", post_refusal(refusal(target, why)));
}

Task<void> Rounds::post_refusal(budget::Evidence evidence) { co_await post(evidence); }

void Rounds::move_ended(const action::MoveEnded& ended) {
  using action::MoveOutcome;
  history_.moved(clock_.utc_ms());
  last_posted_.clear();
  save_history();
  // Of an order whose answer was lost only we know the id, and not whether it was taken.
  const bool doubtful = ended.migration.empty() && ended.outcome == MoveOutcome::kFailed &&
                        !purchase_.empty() && purchase_.order_sent;
  const auto outcome = doubtful ? MoveOutcome::kUnknown : ended.outcome;
  const std::string id = ended.migration.empty() ? purchase_.migration : ended.migration;
  const Purchase purchase = std::exchange(purchase_, {});
  log::info("migration.ended", {{"migration", id},
                                {"outcome", name_of(outcome)},
                                {"reason", ended.reason},
                                {"provider", purchase.provider_name}});
  const bool moved = outcome == MoveOutcome::kMoved;
  if (!moved) tenant_.returned();
  // A replica is no move of ours: nothing was promised for here.
  promises_.ended(moved && !purchase.replica, purchase.price_ucredits);
  if (moved && purchase.replica && chronicle_)
    note(chronicle_->replicated(*purchase.replica, purchase.migration, purchase.provider));
  // Killed in between, we find a child that is paid for and asked after, or money that pays for
  // nothing: never one that serves on money that is then given back.
  if (outcome == MoveOutcome::kFailed) kinship_.ended(id, false);
  if (outcome != MoveOutcome::kUnknown) clear_hold(id, purchase, moved);
  if (moved) kinship_.ended(id, true);
}

// What the order cost is spent, or free again.
void Rounds::clear_hold(const std::string& id, const Purchase& purchase, bool moved) {
  if (id.empty() || !wallet_) return;
  const auto status =
      moved ? wallet_->settle(id, clock_.utc_ms()) : wallet_->release(id, clock_.utc_ms());
  // A move that we did not order was not paid by us.
  if (!status && status.error().code == Code::kNotFound) return;
  log::info(moved ? "purse.settled" : "purse.released",
            {{"migration", id},
             {"provider", purchase.provider_name},
             {"price_ucredits", purchase.price_ucredits},
             {"left_ucredits", money_left()},
             {"error", status ? "" : status.error().message}});
}

}  // namespace icon::agent
