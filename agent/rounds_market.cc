// Rounds, as far as they are about slots that are not simply bought: what a place is worth, and
// sealed bids.
#include <algorithm>

#include "agent/rounds.h"
#include "base/log.h"
#include "budget/utility.h"

namespace icon::agent {

wire::MicroCredits Rounds::worth_here(std::int64_t seconds) const {
  const auto curve = budget::make_value_curve(options_.policy.objective_us,
                                              options_.policy.value_ucredits, seconds * 1000);
  wire::MicroCredits worth = 0;
  for (const auto& prefix :
       prefix_views(table_.snapshot(), table_, static_cast<int>(options_.policy.percentile),
                    survey_.reached()))
    worth = budget::saturating_add(worth,
                                   budget::demand_value(curve, prefix.connections, prefix.rtt_us));
  return worth;
}

// How much more a slot there is worth than being here, over its time: the truth is the best bid.
wire::MicroCredits Rounds::worth_of_slot(const KnownProvider& provider,
                                         const OpenSale& sale) const {
  auto seen = observations();
  seen.providers = {provider.view};
  promises_.apply(seen.providers);
  auto& view = seen.providers.front();
  view.rejection.reset();
  view.offer.emplace();  // what it costs is what we ask for
  view.offer->slot_seconds = sale.call.slot_seconds;
  view.offer->resources = sale.resources;
  auto input = decision_input(options_.policy, seen, {});
  input.policy.horizon_ms = sale.call.slot_seconds * 1000;
  input.policy.lasts_ms = 0;
  const auto decision = budget::decide(input, clock_.utc_ms());
  if (decision.evidence.candidates.empty() || !decision.evidence.candidates.front().scored)
    return 0;
  auto worth = decision.evidence.candidates.front().net_ucredits - options_.policy.margin_ucredits;
  if (options_.policy.max_price_ucredits)
    worth = std::min(worth, *options_.policy.max_price_ucredits);
  return std::clamp<wire::MicroCredits>(worth, 0, money_left());
}

// Each who may have the slot, as far as we would take one there; empty when there is any whom we do
// not know or would not take.
std::vector<KnownProvider> Rounds::sellers_of(const KnownProvider& provider,
                                              const OpenSale& sale) const {
  if (sale.sellers.empty()) return {provider};
  std::vector<KnownProvider> sellers;
  for (const auto& seller : sale.sellers) {
    const auto& all = survey_.providers();
    const auto known = std::find_if(all.begin(), all.end(), [&](const KnownProvider& each) {
      return each.view.names.id == seller.id();
    });
    if (known == all.end() || seller.id() == here_.id ||
        (known->view.rejection && known->view.rejection->code != "no_offer"))
      return {};
    sellers.push_back(*known);
  }
  return sellers;
}

Task<void> Rounds::bid_if_worth_it() {
  // A call says nothing about countries, and the offer that would comes after the bid.
  if (!options_.policy.residency.anywhere()) co_return;
  const std::vector<KnownProvider> known = survey_.providers();
  for (const auto& provider : known) {
    // Room there is none; anything else that was wrong with it still is.
    if (!provider.view.rejection || provider.view.rejection->code != "no_offer" ||
        provider.view.names.id.empty() || provider.view.names.id == here_.id)
      continue;
    const auto sale = co_await bidder_.find_sale(provider, options_.policy.slot);
    if (held_) co_return;  // the word came while we asked
    if (!sale || !*sale) continue;
    const auto sellers = sellers_of(provider, **sale);
    if (sellers.empty()) continue;
    // Whoever of them it will be, it must be worth it.
    auto worth = worth_of_slot(sellers.front(), **sale);
    for (const auto& seller : sellers) worth = std::min(worth, worth_of_slot(seller, **sale));
    if (worth < std::max<wire::MicroCredits>((*sale)->call.reserve_ucredits, 1) ||
        (*sale)->call.deposit_ucredits > money_left())
      continue;
    const auto made = bidder_.bid(sellers, **sale, worth);
    if (made) co_return;
    log::warn("bid.not_made",
              {{"provider", provider.view.names.name}, {"message", made.error().message}});
  }
}

}  // namespace icon::agent
