#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "budget/decision_round.h"

namespace icon::budget {
namespace {

constexpr std::string_view kPriceCodes[] = {"over_max_price", "over_budget", "too_dear"};

bool about_price(const std::string& code) {
  return std::find(std::begin(kPriceCodes), std::end(kPriceCodes), code) != std::end(kPriceCodes);
}

std::string shown_name(const ProviderNames& names) {
  if (!names.name.empty()) return names.name;
  if (!names.domain.empty()) return names.domain;
  return names.id.empty() ? "a provider without a name" : short_id(names.id);
}

void refuse(Scored& scored, std::optional<Rejection> rejection) {
  scored.eligible = !rejection;
  if (!rejection) return;
  scored.evidence.reason = std::move(rejection->code);
  scored.evidence.message = std::move(rejection->message);
  scored.evidence.verdict = Verdict::kRejected;
}

}  // namespace

void Round::fill_policy() {
  auto& evidence = decision_.evidence;
  evidence.decided_ms = now_ms_;
  evidence.here_name = input_.here_name;
  evidence.here_id = input_.here_id;
  evidence.objective_us = curve_.objective_us;
  evidence.zero_us = curve_.zero_us;
  evidence.percentile = policy_.percentile;
  evidence.horizon_ms = policy_.horizon_ms;
  evidence.value_per_connection_hour_ucredits = policy_.value_per_connection_hour_ucredits;
  evidence.margin_ucredits = policy_.margin_ucredits;
  evidence.budget_left_ucredits = input_.budget_left_ucredits;
  evidence.rounds_needed = policy_.rounds;
  evidence.money_weight_permille = kFaceValuePermille;
  evidence.prefixes_total = static_cast<std::int64_t>(input_.prefixes.size());
  evidence.promise = input_.broken_promise;
  evidence.candidates_total = static_cast<std::int64_t>(input_.candidates.size());
}

void Round::look_at_here() {
  auto& evidence = decision_.evidence;
  shown_prefixes_.resize(input_.prefixes.size());
  std::iota(shown_prefixes_.begin(), shown_prefixes_.end(), 0);
  std::stable_sort(shown_prefixes_.begin(), shown_prefixes_.end(),
                   [&](std::size_t a, std::size_t b) {
                     return input_.prefixes[a].connections > input_.prefixes[b].connections;
                   });
  if (shown_prefixes_.size() > kEvidencePrefixesMax) shown_prefixes_.resize(kEvidencePrefixesMax);
  for (const auto& prefix : input_.prefixes) {
    evidence.connections_total =
        saturating_add(evidence.connections_total, std::max<std::int64_t>(0, prefix.connections));
    evidence.here_value_ucredits = saturating_add(
        evidence.here_value_ucredits, demand_value(curve_, prefix.connections, prefix.rtt_us));
  }
  for (const auto index : shown_prefixes_) {
    const auto& prefix = input_.prefixes[index];
    evidence.prefixes.push_back({prefix.prefix.to_string(), prefix.connections, prefix.rtt_us,
                                 prefix.samples,
                                 demand_value(curve_, prefix.connections, prefix.rtt_us)});
  }
  evidence.here_price_ucredits = price_over_horizon(
      input_.here_price_ucredits, slots_for(policy_.horizon_ms, input_.here_slot_seconds));
}

void Round::add_value(const Candidate& candidate, EvidenceCandidate& evidence) const {
  const auto estimate_of = [&](std::size_t index) {
    return index < candidate.estimates.size() ? candidate.estimates[index] : RttEstimate{};
  };
  // A gain counts as far as it is certain, a loss in full.
  const auto value_of = [&](std::size_t index) {
    const auto& prefix = input_.prefixes[index];
    const auto estimate = estimate_of(index);
    const auto there = demand_value(curve_, prefix.connections, estimate.rtt_us);
    const auto at_home = demand_value(curve_, prefix.connections, prefix.rtt_us);
    if (there <= at_home) return there;
    __extension__ using Wide = __int128;
    const auto sure = std::clamp<std::int64_t>(estimate.confidence, 0, kCertain);
    return at_home + static_cast<MicroCredits>(Wide(there - at_home) * sure / kCertain);
  };
  MicroCredits beside_here = 0;  // gained by whom it serves better, the others staying
  for (std::size_t i = 0; i < input_.prefixes.size(); ++i) {
    const auto value = value_of(i);
    const auto& prefix = input_.prefixes[i];
    const auto at_home = demand_value(curve_, prefix.connections, prefix.rtt_us);
    evidence.value_ucredits = saturating_add(evidence.value_ucredits, value);
    beside_here = saturating_add(beside_here, std::max<MicroCredits>(0, value - at_home));
  }
  if (may_replicate()) evidence.replica_gain_ucredits = beside_here;
  for (const auto index : shown_prefixes_) {
    evidence.estimates.push_back(
        {input_.prefixes[index].prefix.to_string(), estimate_of(index), value_of(index)});
    if (evidence.estimates.size() > kEvidenceDetailsMax)
      evidence.estimates.back().estimate.detail.clear();
  }
  const auto& here = decision_.evidence;
  evidence.scored = true;
  evidence.slots = slots_for(policy_.horizon_ms, candidate.offer->slot_seconds);
  evidence.price_horizon_ucredits =
      price_over_horizon(candidate.offer->price_ucredits, evidence.slots);
  evidence.gain_ucredits = saturating_add(evidence.value_ucredits, -here.here_value_ucredits);
  figures(candidate, evidence);
}

// What the money buys, in units of people.
void Round::figures(const Candidate& candidate, EvidenceCandidate& evidence) const {
  __extension__ using Wide = __int128;
  Wide saved = 0;
  Wide connections = 0;
  for (std::size_t i = 0; i < input_.prefixes.size() && i < candidate.estimates.size(); ++i) {
    const auto& prefix = input_.prefixes[i];
    const auto& there = candidate.estimates[i].rtt_us;
    if (!there || prefix.connections <= 0) continue;
    saved += Wide(std::clamp<std::int64_t>(prefix.rtt_us - *there, -kRttUsMax, kRttUsMax)) *
             prefix.connections;
    connections += prefix.connections;
  }
  if (connections > 0 && saved / connections > 0) {
    evidence.saved_us = static_cast<std::int64_t>(saved / connections);
    const auto extra =
        saturating_add(evidence.price_horizon_ucredits, -decision_.evidence.here_price_ucredits);
    evidence.cost_per_ms_ucredits =
        saturated_scale(std::max<MicroCredits>(extra, 0), 1'000, *evidence.saved_us);
  }
  if (evidence.gain_ucredits > 0)
    evidence.payback_ms =
        saturated_scale(*evidence.price_ucredits, policy_.horizon_ms, evidence.gain_ucredits);
}

Scored Round::score(std::size_t index) const {
  const Candidate& candidate = input_.candidates[index];
  Scored scored;
  scored.index = index;
  auto& evidence = scored.evidence;
  evidence.name = shown_name(candidate.names);
  evidence.id = candidate.names.id;
  evidence.domain = candidate.names.domain;
  evidence.source = candidate.source;
  if (candidate.offer) evidence.price_ucredits = candidate.offer->price_ucredits;
  const bool estimated =
      std::any_of(candidate.estimates.begin(), candidate.estimates.end(),
                  [](const RttEstimate& estimate) { return estimate.rtt_us.has_value(); });
  // A provider that is only too dear is computed all the same: the evidence says by how much.
  if (candidate.offer && estimated &&
      (!candidate.rejection || about_price(candidate.rejection->code)))
    add_value(candidate, evidence);
  refuse(scored, reject(candidate, evidence));
  scored.could_host = scored.eligible;
  return scored;
}

// A budget that must last is worth more than its face, as long as there is too little of it for
// the best place of those that could be taken.
void Round::weigh_money() {
  auto& evidence = decision_.evidence;
  auto& pace = decision_.history.pace;
  pace = input_.history.pace;
  if (policy_.lasts_ms <= 0) return;
  std::vector<Place> places{{evidence.here_price_ucredits, evidence.here_value_ucredits}};
  for (const auto& scored : scored_)
    if (scored.eligible)
      places.push_back({scored.evidence.price_horizon_ucredits, scored.evidence.value_ucredits});
  pace.see(places, now_ms_);
  const Means means{input_.budget_left_ucredits, std::max<std::int64_t>(1, policy_.horizon_ms),
                    pace.started_ms + policy_.lasts_ms};
  evidence.affordable_ucredits = affordable_per_horizon(means, now_ms_);
  weight_ = pace.weigh(means, now_ms_);
  evidence.money_weight_permille = weight_.going;
}

// Of what a place costs more than this one, or less.
MicroCredits Round::weighed(MicroCredits extra) const {
  return saturated_scale(extra, extra < 0 ? weight_.leaving : weight_.going, kFaceValuePermille);
}

// What is left after the first look: is it worth its money?
void Round::judge(Scored& scored) const {
  auto& evidence = scored.evidence;
  if (!evidence.scored) return;
  const auto extra =
      saturating_add(evidence.price_horizon_ucredits, -decision_.evidence.here_price_ucredits);
  evidence.net_ucredits = saturating_add(evidence.gain_ucredits, -weighed(extra));
  judge_replica(scored);
  if (scored.eligible) refuse(scored, reject_worth(evidence));
}

std::optional<Rejection> Round::reject(const Candidate& candidate,
                                       const EvidenceCandidate& evidence) const {
  if (candidate.rejection) return candidate.rejection;
  if (auto denied = policy_.providers.check(candidate.names)) return denied;
  if (!candidate.names.id.empty() && candidate.names.id == input_.here_id)
    return Rejection{"current_host", "the ICON is there already"};
  if (!candidate.offer) return Rejection{"no_offer", "it made no offer"};
  if (auto refused = policy_.residency.refusal(*candidate.offer))
    return Rejection{"residency", std::move(*refused)};
  if (policy_.max_price_ucredits)
    if (auto dear = check_price(candidate.offer->price_ucredits,
                                max_price_limit(*policy_.max_price_ucredits)))
      return dear;
  if (auto dear =
          check_price(candidate.offer->price_ucredits, budget_limit(input_.budget_left_ucredits)))
    return dear;
  if (!evidence.scored)
    return Rejection{"no_estimate", "it is not known how far the users would be from it"};
  return std::nullopt;
}

std::optional<Rejection> Round::reject_worth(const EvidenceCandidate& evidence) const {
  const auto& here = decision_.evidence;
  const auto extra = saturating_add(evidence.price_horizon_ucredits, -here.here_price_ucredits);
  // Somewhere cheaper may be a little farther, where money must last.
  const bool saves = policy_.lasts_ms > 0 && extra < 0;
  if (evidence.gain_ucredits <= 0 && !saves)
    return Rejection{"no_gain",
                     fmt::format("being there is worth {} micro-credits over the horizon, being "
                                 "here {}",
                                 evidence.value_ucredits, here.here_value_ucredits)};
  if (auto dear = check_price(extra, gain_limit(evidence.gain_ucredits))) return dear;
  if (evidence.net_ucredits <= policy_.margin_ucredits)
    return Rejection{"below_margin",
                     fmt::format("it would gain {} micro-credits after its price, and a move must "
                                 "gain more than {}",
                                 evidence.net_ucredits, policy_.margin_ucredits)};
  return std::nullopt;
}

// The slot price at which the net gain would just exceed `net_above`.
std::optional<MicroCredits> Round::price_for(const EvidenceCandidate& evidence,
                                             MicroCredits net_above) const {
  if (!evidence.scored || evidence.slots <= 0) return std::nullopt;
  const auto room = saturating_add(evidence.gain_ucredits, -net_above) - 1;
  const bool dearer = room >= 0;
  const auto extra =
      saturated_scale(room, kFaceValuePermille, dearer ? weight_.going : weight_.leaving) -
      (dearer ? 0 : 1);
  const auto most = saturating_add(decision_.evidence.here_price_ucredits, extra);
  if (most < 0) return std::nullopt;
  auto price = most / evidence.slots;
  price = std::min(price, input_.budget_left_ucredits);
  if (policy_.max_price_ucredits) price = std::min(price, *policy_.max_price_ucredits);
  return price;
}

void Round::pick_winner() {
  std::stable_sort(scored_.begin(), scored_.end(), [](const Scored& a, const Scored& b) {
    if (a.eligible != b.eligible) return a.eligible;
    if (a.evidence.scored != b.evidence.scored) return a.evidence.scored;
    if (a.evidence.net_ucredits != b.evidence.net_ucredits)
      return a.evidence.net_ucredits > b.evidence.net_ucredits;
    if (a.evidence.price_ucredits != b.evidence.price_ucredits)
      return a.evidence.price_ucredits < b.evidence.price_ucredits;
    return a.evidence.id < b.evidence.id;
  });
  has_winner_ = !scored_.empty() && scored_.front().eligible;
  threshold_ = policy_.margin_ucredits;
  if (!has_winner_) return prefer_replica();
  // Two that are about equally good would take turns and neither win n rounds running: the one
  // that led stays in the lead until another is better by more than the margin.
  const auto best = scored_.front().evidence.net_ucredits;
  const auto& history = input_.history;
  const auto favourite = std::find_if(scored_.begin(), scored_.end(), [&](const Scored& scored) {
    return scored.eligible && !scored.evidence.id.empty() && !history.favourite_replicates &&
           scored.evidence.id == history.favourite_id;
  });
  if (favourite != scored_.end() &&
      best - favourite->evidence.net_ucredits <= policy_.margin_ucredits)
    std::rotate(scored_.begin(), favourite, favourite + 1);
  favourite_leads_ = scored_.front().evidence.id == history.favourite_id &&
                     !history.favourite_id.empty() && !history.favourite_replicates;
  threshold_ = scored_.front().evidence.net_ucredits;
  if (favourite_leads_) threshold_ = saturating_add(threshold_, policy_.margin_ucredits);
  prefer_replica();
}

void Round::explain_losers() {
  auto& changes = decision_.evidence.would_change;
  for (std::size_t i = 0; i < scored_.size(); ++i) {
    auto& evidence = scored_[i].evidence;
    if (has_winner_ && i == 0) {
      evidence.verdict = Verdict::kWon;
      evidence.reason = "won";
      evidence.message =
          fmt::format("{} gains {} micro-credits over the horizon after its price",
                      replicates_ ? "beside the present place it" : "it", net_of(evidence));
      continue;
    }
    if (evidence.scored)
      evidence.loses_by_ucredits =
          std::max<MicroCredits>(0, saturating_add(threshold_, -evidence.net_ucredits));
    if (scored_[i].eligible) {
      const auto& winner = scored_.front().evidence;
      evidence.verdict = Verdict::kLost;
      evidence.reason = "outbid";
      const auto ahead = saturating_add(net_of(winner), -evidence.net_ucredits);
      evidence.message = ahead > 0
                             ? fmt::format("{} gains {} micro-credits more", winner.name, ahead)
                             : fmt::format(
                                   "as good as {}, which stays the choice: the difference is not "
                                   "more than the margin",
                                   winner.name);
    }
    if (!scored_[i].eligible && !about_price(evidence.reason) && evidence.reason != "below_margin")
      continue;
    evidence.winning_price_ucredits = price_for(evidence, threshold_);
    if (!evidence.winning_price_ucredits || !evidence.price_ucredits ||
        *evidence.winning_price_ucredits >= *evidence.price_ucredits)
      continue;
    if (i < kEvidenceCandidatesMax)
      changes.push_back({"price_at_most", evidence.name, *evidence.winning_price_ucredits,
                         fmt::format("at a price of {} micro-credits or less for a slot, {} would "
                                     "have won",
                                     *evidence.winning_price_ucredits, evidence.name)});
  }
}

void Round::conclude_with_winner() {
  auto& evidence = decision_.evidence;
  const auto& winner = scored_.front().evidence;
  const auto& history = input_.history;
  evidence.to_name = winner.name;
  evidence.to_id = winner.id;
  decision_.winner = scored_.front().index;
  const auto rounds =
      favourite_leads_ ? std::clamp<std::int64_t>(history.rounds_won, 0, kRoundsWonMax) + 1 : 1;
  decision_.history.favourite_id = winner.id;
  decision_.history.favourite_replicates = replicates_;
  decision_.history.rounds_won = evidence.rounds_won = rounds;
  note_payback();

  auto runner_up = policy_.margin_ucredits;
  if (replicates_)
    runner_up = threshold_;
  else if (scored_.size() > 1 && scored_[1].eligible)
    runner_up =
        std::max(runner_up, saturating_add(scored_[1].evidence.net_ucredits,
                                           favourite_leads_ ? -policy_.margin_ucredits : 0));
  if (const auto price =
          replicates_ ? replica_price_for(winner, runner_up) : price_for(winner, runner_up))
    evidence.would_change.push_back(
        {"winner_price_over", winner.name, *price,
         fmt::format("at a price over {} micro-credits for a slot, {} would not have won", *price,
                     winner.name)});

  // A clock that jumped back must not hold the ICON for ever: a time far ahead is no last move.
  const auto until = history.last_move_ms + policy_.cooldown_ms;
  const bool broken = !input_.broken_promise.empty();
  const bool cooling = !broken && history.last_move_ms > 0 && now_ms_ < until &&
                       history.last_move_ms <= now_ms_ + policy_.cooldown_ms;
  const auto missing = (broken ? 1 : policy_.rounds) - rounds;
  if (missing > 0)
    evidence.would_change.push_back({"rounds", winner.name, missing,
                                     fmt::format("{} more {} with the same winner", missing,
                                                 missing == 1 ? "round" : "rounds")});
  if (cooling)
    evidence.would_change.push_back(
        {"cooldown", winner.name, until,
         fmt::format("{} ms until the pause after the last move is over", until - now_ms_)});
  const bool too_many = is_too_often();
  const bool ready = missing <= 0 && !cooling && !too_many;
  const bool go = ready && !input_.held;
  decision_.move = go && !replicates_;
  decision_.replicate = go && replicates_;
  if (input_.held)
    evidence.would_change.push_back({"unhold", winner.name, 1, "the operator's word: icon unhold"});
  evidence.reason = go            ? "won"
                    : ready       ? "held"
                    : cooling     ? "cooldown"
                    : missing > 0 ? "rounds"
                                  : "moves_per_hour";
  const auto what = replicates_ ? "a replica at" : "move to";
  evidence.message =
      go        ? fmt::format("{} {}: {}", what, winner.name, winner.message)
      : ready   ? fmt::format("an operator holds the ICON; else {} {}: {}", what, winner.name,
                              winner.message)
      : cooling ? fmt::format("{} leads, but the last move was too recent", winner.name)
      : missing > 0
          ? fmt::format("{} leads in {} of {} rounds", winner.name, rounds, policy_.rounds)
          : fmt::format("{} leads, but there were {} moves within an hour already", winner.name,
                        policy_.moves_per_hour);
}

void Round::conclude() {
  auto& evidence = decision_.evidence;
  auto pace = std::move(decision_.history.pace);
  decision_.history = input_.history;
  decision_.history.pace = std::move(pace);
  decision_.history.favourite_id.clear();
  decision_.history.favourite_replicates = false;
  decision_.history.rounds_won = 0;
  if (has_winner_) {
    conclude_with_winner();
  } else if (evidence.connections_total <= 0) {
    evidence.reason = "no_users";
    evidence.message = "no user is connected";
    evidence.would_change.push_back({"users", {}, 1, "a connection to the service"});
  } else if (scored_.empty()) {
    evidence.reason = "no_candidates";
    evidence.message = "no provider was found";
  } else {
    evidence.reason = "none_worth_it";
    evidence.message = "no offer is worth its price";
  }
  evidence.outcome = decision_.move ? "move" : decision_.replicate ? "replicate" : "stay";
  for (auto& scored : scored_) {
    if (evidence.candidates.size() == kEvidenceCandidatesMax) break;
    evidence.candidates.push_back(std::move(scored.evidence));
  }
}

Decision Round::run() {
  fill_policy();
  look_at_here();
  for (std::size_t i = 0; i < input_.candidates.size(); ++i) scored_.push_back(score(i));
  weigh_money();
  for (auto& scored : scored_) judge(scored);
  pick_winner();
  explain_losers();
  conclude();
  return std::move(decision_);
}

Decision decide(const DecisionInput& input, UtcMillis now_ms) { return Round(input, now_ms).run(); }

}  // namespace icon::budget
