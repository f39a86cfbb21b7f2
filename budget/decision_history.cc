#include <limits>

#include "budget/decision.h"

namespace icon::budget {
namespace {

constexpr auto kTimeMax = std::numeric_limits<std::int64_t>::max() / 2;

}  // namespace

json::Object DecisionHistory::to_json() const {
  return {{"favourite_id", favourite_id}, {"rounds_won", rounds_won},
          {"last_move_ms", last_move_ms}, {"pace_started_ms", pace.started_ms},
          {"pace_seen_ms", pace.seen_ms}, {"pace_mean_permille", pace.mean_permille}};
}

Result<DecisionHistory> DecisionHistory::from_json(const json::Object& object) {
  DecisionHistory history;
  ICON_TRY(history.favourite_id, json::get_string(object, "favourite_id", 64));
  ICON_TRY(history.rounds_won, json::get_int(object, "rounds_won", 0, kRoundsWonMax));
  ICON_TRY(history.last_move_ms, json::get_int(object, "last_move_ms", 0, kTimeMax));
  ICON_TRY(history.pace.started_ms, json::get_int_or(object, "pace_started_ms", 0, 0, kTimeMax));
  ICON_TRY(history.pace.seen_ms,
           json::get_int_or(object, "pace_seen_ms", 0, history.pace.started_ms, kTimeMax));
  ICON_TRY(history.pace.mean_permille,
           json::get_int_or(object, "pace_mean_permille", 0, 0, kWeightPermilleMax));
  return history;
}

}  // namespace icon::budget
