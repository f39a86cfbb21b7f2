// One round of budget::decide, from what was seen to the evidence. Only the files that make it up
// include this.
#pragma once

#include <optional>
#include <vector>

#include "budget/decision.h"

namespace icon::budget {

struct Scored {
  std::size_t index = 0;
  EvidenceCandidate evidence;
  bool eligible = false;
  bool could_host = false;  // nothing but its worth can speak against it
};

// One round. Its members are what the whole round shares.
class Round {
 public:
  Round(const DecisionInput& input, UtcMillis now_ms)
      : input_(input),
        policy_(input.policy),
        now_ms_(now_ms),
        curve_(make_value_curve(policy_.objective_us, policy_.value_per_connection_hour_ucredits,
                                policy_.horizon_ms)) {}

  Decision run();

 private:
  void look_at_here();
  Scored score(std::size_t index) const;
  void add_value(const Candidate& candidate, EvidenceCandidate& evidence) const;
  void figures(const Candidate& candidate, EvidenceCandidate& evidence) const;
  std::optional<Rejection> reject(const Candidate& candidate,
                                  const EvidenceCandidate& evidence) const;
  std::optional<Rejection> reject_worth(const EvidenceCandidate& evidence) const;
  void weigh_money();
  MicroCredits weighed(MicroCredits extra) const;
  void judge(Scored& scored) const;
  void pick_winner();
  void explain_losers();
  std::optional<MicroCredits> price_for(const EvidenceCandidate& evidence,
                                        MicroCredits net_above) const;
  void conclude();
  void conclude_with_winner();
  void fill_policy();
  bool is_too_often();
  void note_payback();

  // decision_replica.cc: one more place beside the present one, which goes on.
  bool may_replicate() const;
  void judge_replica(Scored& scored) const;
  void prefer_replica();
  std::optional<MicroCredits> replica_price_for(const EvidenceCandidate& evidence,
                                                MicroCredits net_above) const;
  MicroCredits net_of(const EvidenceCandidate& evidence) const;

  const DecisionInput& input_;
  const DecisionPolicy& policy_;
  const UtcMillis now_ms_;
  const ValueCurve curve_;
  std::vector<std::size_t> shown_prefixes_;  // indices, most connections first
  std::vector<Scored> scored_;
  bool has_winner_ = false;       // then it is scored_.front()
  bool favourite_leads_ = false;  // and it led the round before, too
  bool replicates_ = false;       // the winner is a place for a replica
  MicroCredits threshold_ = 0;    // the net gain that a candidate must exceed to win
  MoneyWeight weight_;
  Decision decision_;
};

}  // namespace icon::budget
