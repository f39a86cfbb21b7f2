// Why a decision fell as it did: what was seen, who offered what, who lost and by how much, and
// what would have changed it. Stored as JSON with stable names and integers only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "budget/estimate.h"
#include "budget/money.h"

namespace icon::budget {

inline constexpr std::int64_t kEvidenceVersion = 1;
// What is kept of a large decision: the prefixes with the most connections, the best candidates.
inline constexpr std::size_t kEvidencePrefixesMax = 32;
// Of so many of them it is told how each figure was made.
inline constexpr std::size_t kEvidenceDetailsMax = 8;
inline constexpr std::size_t kEvidenceCandidatesMax = 64;
inline constexpr std::size_t kEvidenceBytesMax = 1 << 20;

struct EvidencePrefix {
  std::string prefix;
  std::int64_t connections = 0;
  std::int64_t rtt_us = 0;
  std::int64_t samples = 0;
  MicroCredits value_ucredits = 0;  // of being where the ICON is, over the horizon
};

struct EvidenceEstimate {
  std::string prefix;
  RttEstimate estimate;
  MicroCredits value_ucredits = 0;
};

enum class Verdict { kWon, kLost, kRejected };
std::string_view to_string(Verdict verdict);

struct EvidenceCandidate {
  std::string name;
  std::string id;
  std::string domain;
  std::string source;
  Verdict verdict = Verdict::kRejected;
  std::string reason;                          // code; "won" for the winner
  std::string message;                         // one sentence
  std::optional<MicroCredits> price_ucredits;  // one slot
  std::int64_t slots = 0;                      // how many the horizon needs
  // Set when the candidate was worth computing.
  bool scored = false;
  MicroCredits price_horizon_ucredits = 0;
  MicroCredits value_ucredits = 0;
  MicroCredits gain_ucredits = 0;  // value there - value here
  MicroCredits net_ucredits = 0;   // gain - (price there - price here)
  MicroCredits loses_by_ucredits = 0;
  // Of a replica there, the ICON staying where it is; nullopt: none is thought of.
  std::optional<MicroCredits> replica_gain_ucredits;
  std::optional<MicroCredits> replica_net_ucredits;
  // At most this slot price would have made it the winner; nullopt: no price would.
  std::optional<MicroCredits> winning_price_ucredits;
  // How much nearer it is on the mean of all connections whose distance is known there, what each
  // millisecond of that costs more than here over the horizon, and after what time the gain has
  // paid for its first slot. nullopt: no nearer, or worth nothing.
  std::optional<std::int64_t> saved_us;
  std::optional<MicroCredits> cost_per_ms_ucredits;
  std::optional<std::int64_t> payback_ms;
  std::vector<EvidenceEstimate> estimates;
};

struct WouldChange {
  // price_at_most, winner_price_over, rounds, cooldown, moves_per_hour, unhold, users
  std::string code;
  std::string provider;
  std::int64_t amount = 0;  // micro-credits, rounds or UTC milliseconds, by code
  std::string message;
};

struct Evidence {
  UtcMillis decided_ms = 0;
  std::string outcome;  // "stay", "move", "replicate"; of a replica that is to end, "end"
  std::string reason;   // won, no_users, no_candidates, none_worth_it, rounds, cooldown, ...
  std::string message;
  std::string promise;  // how the present place has broken its own; empty: it has not
  std::string to_name;  // empty unless there is a winner, moved to or not
  std::string to_id;
  std::string here_name;
  std::string here_id;
  MicroCredits here_value_ucredits = 0;
  MicroCredits here_price_ucredits = 0;  // over the horizon
  std::int64_t objective_us = 0;
  std::int64_t zero_us = 0;
  std::int64_t percentile = 50;
  std::int64_t horizon_ms = 0;
  MicroCredits value_per_connection_hour_ucredits = 0;
  MicroCredits margin_ucredits = 0;
  MicroCredits budget_left_ucredits = 0;
  // A budget that must last: what of it the horizon may cost, and what a credit is worth by that
  // (1000: its face). nullopt: it need not.
  std::optional<MicroCredits> affordable_ucredits;
  std::int64_t money_weight_permille = 1'000;
  // Of a replica that leads: when what it costs has come in by what it gains.
  std::optional<std::int64_t> payback_ms;
  std::int64_t rounds_needed = 0;
  std::int64_t rounds_won = 0;
  std::int64_t prefixes_total = 0;
  std::int64_t connections_total = 0;
  std::int64_t candidates_total = 0;
  std::vector<EvidencePrefix> prefixes;       // most connections first
  std::vector<EvidenceCandidate> candidates;  // best first
  std::vector<WouldChange> would_change;

  json::Object to_json() const;
  // Errors: kInvalid, kLimit.
  static Result<Evidence> from_json(const json::Object& object);
};

}  // namespace icon::budget
