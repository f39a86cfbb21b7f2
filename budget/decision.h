// Where should this ICON be? A pure function of what was seen: no clock, no socket, no memory of
// its own. The same input gives the same decision and the same evidence on every machine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "budget/allow_list.h"
#include "budget/estimate.h"
#include "budget/evidence.h"
#include "budget/offer_check.h"
#include "budget/pace.h"

namespace icon::budget {

// Users of one /24 or /48 as the service's own connections show them.
struct PrefixView {
  Prefix prefix;
  std::int64_t connections = 0;  // the weight
  std::int64_t rtt_us = 0;       // at the percentile the policy names
  std::int64_t samples = 0;
};

struct Candidate {
  ProviderNames names;
  std::string source;  // "dns", "configured", "operator"
  std::optional<wire::Offer> offer;
  std::optional<Rejection> rejection;  // why it is out already (check_offer, unreachable)
  std::vector<RttEstimate> estimates;  // same order as the prefixes; missing ones are unknown
};

struct DecisionPolicy {
  std::int64_t objective_us = 20'000;
  std::int64_t percentile = 50;
  MicroCredits value_per_connection_hour_ucredits = 50'000;
  std::int64_t horizon_ms = 3'600'000;
  MicroCredits margin_ucredits = 0;   // what a move must earn beyond its price: pays for the gap
  std::int64_t rounds = 3;            // the same winner this often in a row
  std::int64_t cooldown_ms = 60'000;  // after a move or a failed attempt
  std::optional<MicroCredits> max_price_ucredits;  // for one slot
  std::int64_t lasts_ms = 0;  // the budget is to last so long from the first decision; 0: no matter
  std::int64_t moves_per_hour = 0;  // at most, replicas and failed attempts included; 0: no limit
  AllowList providers;
  Residency residency;
};

inline constexpr std::int64_t kRoundsWonMax = 1'000'000;
inline constexpr std::int64_t kMovesPerHourMax = 3'600;

// Travels from round to round; the agent stores it.
struct DecisionHistory {
  std::string favourite_id;  // who won last
  std::int64_t rounds_won = 0;
  UtcMillis last_move_ms = 0;            // or the last attempt; 0: never
  Pace pace;                             // of a budget that must last
  bool favourite_replicates = false;     // it was a place for a replica
  std::vector<UtcMillis> moves_ms = {};  // the attempts of the last hour

  // A move or a replication has ended, or an attempt at one.
  void moved(UtcMillis now_ms);

  // A round in which nobody was asked, because all users are served well.
  void nothing_asked(UtcMillis now_ms);

  json::Object to_json() const;
  static Result<DecisionHistory> from_json(const json::Object& object);  // Errors: kInvalid
  bool operator==(const DecisionHistory&) const = default;
};

// The ICON's replicas, as far as a decision looks at them. The users whom they serve are not among
// its prefixes.
struct ReplicaView {
  std::int64_t running = 0;  // or ordered
  std::int64_t max = 0;      // 0: it gets none by its own decision
  std::vector<std::string> host_ids;
};

struct DecisionInput {
  std::string here_name;
  std::string here_id;
  MicroCredits here_price_ucredits = 0;  // of a slot at the present host; 0: ours
  std::int64_t here_slot_seconds = 0;    // 0: no slot, nothing to pay
  std::vector<PrefixView> prefixes;
  std::vector<Candidate> candidates;
  DecisionPolicy policy;
  MicroCredits budget_left_ucredits = 0;
  DecisionHistory history;
  // The present place has not kept what it promised, and how: then neither several rounds nor a
  // pause after the last move are waited for.
  std::string broken_promise;
  ReplicaView replicas;
  bool held = false;  // by an operator: it decides as ever, and stays
};

struct Decision {
  bool move = false;
  bool replicate = false;             // instead: a replica there, and the ICON stays
  std::optional<std::size_t> winner;  // index into candidates: where to, or who leads so far
  DecisionHistory history;            // for the next round
  Evidence evidence;
};

Decision decide(const DecisionInput& input, UtcMillis now_ms);

}  // namespace icon::budget
