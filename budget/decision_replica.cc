// When two groups of users pull apart no single place serves both: then a second place beside the
// present one may gain more than the best move, and more than its own price.
#include <algorithm>

#include "budget/decision_round.h"

namespace icon::budget {

bool Round::may_replicate() const { return input_.replicas.running < input_.replicas.max; }

void Round::judge_replica(Scored& scored) const {
  auto& evidence = scored.evidence;
  const auto& hosts = input_.replicas.host_ids;
  scored.could_host = scored.could_host && evidence.replica_gain_ucredits && !evidence.id.empty() &&
                      std::find(hosts.begin(), hosts.end(), evidence.id) == hosts.end();
  if (!scored.could_host) return evidence.replica_gain_ucredits.reset();
  // The present place goes on and is paid for as before.
  evidence.replica_net_ucredits =
      saturating_add(*evidence.replica_gain_ucredits, -weighed(evidence.price_horizon_ucredits));
}

MicroCredits Round::net_of(const EvidenceCandidate& evidence) const {
  return replicates_ ? evidence.replica_net_ucredits.value_or(0) : evidence.net_ucredits;
}

// Two places cost more attention than one: a replica must be better than the best move by more
// than the margin. The one that led stays in the lead as with moves.
void Round::prefer_replica() {
  const auto& history = input_.history;
  const auto net = [](const Scored& scored) { return *scored.evidence.replica_net_ucredits; };
  auto best = scored_.end();
  auto favourite = scored_.end();
  for (auto it = scored_.begin(); it != scored_.end(); ++it) {
    if (!it->could_host) continue;
    if (best == scored_.end() || net(*it) > net(*best)) best = it;
    if (history.favourite_replicates && it->evidence.id == history.favourite_id) favourite = it;
  }
  if (best == scored_.end()) return;
  const bool led = favourite != scored_.end();
  if (led && net(*best) - net(*favourite) <= policy_.margin_ucredits) best = favourite;
  const auto move = has_winner_ ? scored_.front().evidence.net_ucredits : 0;
  const auto needed = saturating_add(std::max<MicroCredits>(0, move), policy_.margin_ucredits);
  if (net(*best) <= needed) return;
  // What a move must exceed to win instead.
  threshold_ = needed;
  favourite_leads_ = led && best == favourite;
  replicates_ = has_winner_ = true;
  std::rotate(scored_.begin(), best, best + 1);
}

void Round::note_payback() {
  const auto& winner = scored_.front().evidence;
  const auto gain = winner.replica_gain_ucredits.value_or(0);
  if (replicates_ && gain > 0)
    decision_.evidence.payback_ms =
        saturated_scale(winner.price_horizon_ucredits, policy_.horizon_ms, gain);
}

// The slot price at which the replica would just not gain `net_above`.
std::optional<MicroCredits> Round::replica_price_for(const EvidenceCandidate& evidence,
                                                     MicroCredits net_above) const {
  if (!evidence.replica_gain_ucredits || evidence.slots <= 0) return std::nullopt;
  const auto room = saturating_add(*evidence.replica_gain_ucredits, -net_above);
  if (room <= 0) return std::nullopt;
  return std::min(
      saturated_scale(room - 1, kFaceValuePermille, decision_.evidence.money_weight_permille) /
          evidence.slots,
      input_.budget_left_ucredits);
}

}  // namespace icon::budget
