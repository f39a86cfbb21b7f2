#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "budget/decision_round.h"

namespace icon::budget {
namespace {

constexpr auto kTimeMax = std::numeric_limits<std::int64_t>::max() / 2;

constexpr std::int64_t kMovesHourMs = 3'600'000;

}  // namespace

void DecisionHistory::nothing_asked(UtcMillis now_ms) {
  rounds_won = 0;
  if (pace.started_ms > 0) pace.see_nothing(now_ms);
}

// A clock that jumped back must not count what lies far ahead for ever.
void DecisionHistory::moved(UtcMillis now_ms) {
  last_move_ms = now_ms;
  rounds_won = 0;
  std::erase_if(moves_ms, [&](UtcMillis at) { return at <= now_ms - kMovesHourMs || at > now_ms; });
  if (moves_ms.size() >= static_cast<std::size_t>(kMovesPerHourMax))
    moves_ms.erase(moves_ms.begin());
  moves_ms.push_back(now_ms);
}

// Whatever oscillates out there, so often and no more.
bool Round::is_too_often() {
  if (policy_.moves_per_hour <= 0) return false;
  auto recent = input_.history.moves_ms;
  std::erase_if(recent, [&](UtcMillis at) { return at <= now_ms_ - kMovesHourMs || at > now_ms_; });
  const auto allowed = static_cast<std::size_t>(policy_.moves_per_hour);
  if (recent.size() < allowed) return false;
  std::sort(recent.begin(), recent.end());
  const auto until = recent[recent.size() - allowed] + kMovesHourMs;
  decision_.evidence.would_change.push_back(
      {"moves_per_hour", scored_.front().evidence.name, until,
       fmt::format("{} ms until one of the last hour's {} moves is an hour ago", until - now_ms_,
                   recent.size())});
  return true;
}

json::Object DecisionHistory::to_json() const {
  json::Array moves;
  for (const auto at : moves_ms) moves.emplace_back(at);
  return {{"favourite_id", favourite_id}, {"favourite_replicates", favourite_replicates},
          {"rounds_won", rounds_won},     {"last_move_ms", last_move_ms},
          {"moves_ms", std::move(moves)}, {"pace", pace.to_json()}};
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
  // Not in what an earlier version wrote.
  if (object.contains("favourite_replicates")) {
    ICON_TRY(history.favourite_replicates, json::get_bool(object, "favourite_replicates"));
  }
  if (object.contains("moves_ms")) {
    ICON_TRY(const auto* moves, json::get_array(object, "moves_ms", kMovesPerHourMax));
    for (const auto& at : *moves) {
      if (!at.is_int64() || at.get_int64() < 0 || at.get_int64() > kTimeMax)
        return fail(Code::kInvalid, "field 'moves_ms' holds something else than times");
      history.moves_ms.push_back(at.get_int64());
    }
  }
  return history;
}

}  // namespace icon::budget
