#include <limits>

#include "budget/decision.h"

namespace icon::budget {
namespace {

constexpr auto kTimeMax = std::numeric_limits<std::int64_t>::max() / 2;

}  // namespace

void DecisionHistory::nothing_asked(UtcMillis now_ms) {
  rounds_won = 0;
  if (pace.started_ms > 0) pace.see_nothing(now_ms);
}

json::Object DecisionHistory::to_json() const {
  return {{"favourite_id", favourite_id},
          {"rounds_won", rounds_won},
          {"last_move_ms", last_move_ms},
          {"pace", pace.to_json()}};
}

Result<DecisionHistory> DecisionHistory::from_json(const json::Object& object) {
  DecisionHistory history;
  ICON_TRY(history.favourite_id, json::get_string(object, "favourite_id", 64));
  ICON_TRY(history.rounds_won, json::get_int(object, "rounds_won", 0, kRoundsWonMax));
  ICON_TRY(history.last_move_ms, json::get_int(object, "last_move_ms", 0, kTimeMax));
  if (object.contains("pace")) {
    ICON_TRY(const auto* pace, json::get_object(object, "pace"));
    ICON_TRY(history.pace, Pace::from_json(*pace));
  }
  return history;
}

}  // namespace icon::budget
