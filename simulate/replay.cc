#include "simulate/replay.h"

#include <algorithm>
#include <map>
#include <utility>

#include "agent/decide.h"
#include "simulate/demand.h"

namespace icon::simulate {
namespace {

using agent::ObservedRound;
using budget::DecisionInput;

// A longer pause between two rounds is one in which nobody looked: it counts for neither life.
constexpr std::int64_t kGapMsMax = 600'000;

class Replayer {
 public:
  Replayer(const std::vector<ObservedRound>& rounds, const agent::Policy& policy)
      : rounds_(rounds), policy_(policy), curve_(hour_curve(policy)) {}

  Replay run() {
    if (rounds_.empty()) return result_;
    place_ = rounds_.front().input.here_id;
    history_ = rounds_.front().input.history;
    for (std::size_t i = 0; i < rounds_.size(); ++i) {
      const auto& round = rounds_[i];
      auto ms = i + 1 < rounds_.size() ? rounds_[i + 1].at_ms - round.at_ms : 0;
      if (ms > kGapMsMax) ms = 0;
      ++result_.rounds;
      result_.ms += ms;
      if (i > 0 && round.input.here_id != rounds_[i - 1].input.here_id) ++result_.recorded.moves;
      live(round.input, ms, result_.recorded);
      // A move that was decided in both lives ended as it did.
      if (std::exchange(together_, false) && place_ != round.input.here_id) {
        place_ = round.input.here_id;
        --result_.other.moves;
      }
      if (place_ == round.input.here_id)
        history_.last_move_ms = std::max(history_.last_move_ms, round.input.history.last_move_ms);
      const auto seen = seen_at_place(round.input);
      live(seen, ms, result_.other);
      decide(round, seen);
    }
    return result_;
  }

 private:
  void live(const DecisionInput& seen, std::int64_t ms, Life& life) const {
    for (const auto& prefix : seen.prefixes) {
      const auto worth = budget::demand_value(curve_, prefix.connections, prefix.rtt_us);
      life.worth = budget::saturating_add(life.worth, budget::saturated_scale(worth, ms, kHourMs));
      life.rtt.add(prefix.rtt_us, prefix.connections, ms);
    }
    if (seen.here_slot_seconds > 0)
      life.cost = budget::saturating_add(
          life.cost,
          budget::saturated_scale(seen.here_price_ucredits, ms, seen.here_slot_seconds * 1000));
  }

  // The round as it would have looked from where the ICON is by now.
  DecisionInput seen_at_place(const DecisionInput& recorded) {
    auto seen = recorded;
    seen.policy = policy_.decision_policy();
    seen.history = history_;
    seen.budget_left_ucredits =
        std::max<wire::MicroCredits>(0, policy_.budget_ucredits - result_.other.cost);
    for (auto& candidate : seen.candidates)
      if (candidate.offer && candidate.rejection &&
          (candidate.rejection->code.starts_with("over_") ||
           candidate.rejection->code == "residency"))
        candidate.rejection.reset();  // the policy of then did not want it
    if (place_ == recorded.here_id) return seen;
    seen.candidates.push_back(where_it_was(recorded));
    const auto found =
        std::find_if(recorded.candidates.begin(), recorded.candidates.end(),
                     [&](const auto& candidate) { return candidate.names.id == place_; });
    for (std::size_t i = 0; i < seen.prefixes.size(); ++i) {
      auto& prefix = seen.prefixes[i];
      if (found != recorded.candidates.end() && i < found->estimates.size() &&
          found->estimates[i].rtt_us)
        known_[prefix.prefix] = *found->estimates[i].rtt_us;
      // Of users who are new there, nothing is known: as far as they were in truth.
      if (const auto known = known_.find(prefix.prefix); known != known_.end())
        prefix.rtt_us = known->second;
    }
    seen.here_id = place_;
    seen.here_name = name_;
    seen.here_price_ucredits = price_;
    seen.here_slot_seconds = slot_seconds_;
    return seen;
  }

  budget::Candidate where_it_was(const DecisionInput& recorded) const {
    budget::Candidate there;
    there.names = {recorded.here_name, {}, recorded.here_id, true};
    there.source = "recorded";
    there.offer.emplace();
    there.offer->price_ucredits = recorded.here_price_ucredits;
    there.offer->slot_seconds =
        recorded.here_slot_seconds > 0 ? recorded.here_slot_seconds : policy_.slot_seconds;
    for (const auto& prefix : recorded.prefixes)
      there.estimates.push_back({budget::EstimateBasis::kMeasured, prefix.rtt_us});
    return there;
  }

  void decide(const ObservedRound& round, const DecisionInput& seen) {
    const agent::HereView here{seen.here_name, seen.here_id, seen.here_price_ucredits,
                               seen.here_slot_seconds};
    if (agent::nothing_to_ask(seen.prefixes, here, policy_)) {
      history_.nothing_asked(round.at_ms);
      if (round.moves_to.empty() && place_ == round.input.here_id) ++result_.alike;
      return;
    }
    const auto decision = budget::decide(seen, round.at_ms);
    history_ = decision.history;
    const bool moves = decision.move && decision.winner;
    const auto to = moves ? seen.candidates[*decision.winner].names.id : std::string();
    together_ = place_ == round.input.here_id && to == round.moves_to;
    if (together_) ++result_.alike;
    together_ = together_ && moves;
    if (!moves) return;
    const auto& winner = seen.candidates[*decision.winner];
    place_ = winner.names.id;
    name_ = winner.names.name;
    price_ = winner.offer->price_ucredits;
    slot_seconds_ = winner.offer->slot_seconds;
    known_.clear();
    ++result_.other.moves;
    history_.moved(round.at_ms);
  }

  const std::vector<ObservedRound>& rounds_;
  const agent::Policy& policy_;
  const budget::ValueCurve curve_;
  std::string place_;
  std::string name_;
  wire::MicroCredits price_ = 0;
  std::int64_t slot_seconds_ = 0;
  std::map<Prefix, std::int64_t> known_;
  budget::DecisionHistory history_;
  bool together_ = false;
  Replay result_;
};

}  // namespace

Replay replay(const std::vector<ObservedRound>& rounds, const agent::Policy& policy) {
  return Replayer(rounds, policy).run();
}

}  // namespace icon::simulate
