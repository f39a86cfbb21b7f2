#include "budget/pace.h"

#include <algorithm>
#include <limits>

#include "budget/utility.h"

namespace icon::budget {
namespace {

constexpr std::int64_t kHourMs = 3'600'000;
constexpr std::int64_t kDayMs = 24 * kHourMs;
constexpr auto kPaceTimeMax = std::numeric_limits<std::int64_t>::max() / 2;
// Who has gone to a dearer place stays there until a credit must earn that much more: the price of
// money moves a little at every look, and each move costs the users an interruption.
constexpr std::int64_t kLeavingPercent = 80;

__extension__ using Wide = __int128;

std::size_t hour_of(UtcMillis now_ms) {
  return static_cast<std::size_t>((now_ms / kHourMs) % static_cast<std::int64_t>(kPaceHours));
}

// One step up a hull, and for how long it could be taken.
struct Step {
  MicroCredits cost = 0;  // > 0, of a horizon
  MicroCredits value = 0;
  std::int64_t ms = 0;
  bool now = false;
};

std::int64_t slope_permille(const Step& step) {
  const Wide slope = Wide(step.value) * kFaceValuePermille / step.cost;
  return static_cast<std::int64_t>(std::min(slope, Wide(kWeightPermilleMax)));
}

// How much of the time from now to the end falls into each hour of the day.
std::vector<std::int64_t> time_by_hour(UtcMillis now_ms, UtcMillis ends_ms) {
  std::vector<std::int64_t> ms(kPaceHours);
  const auto all = ends_ms - now_ms;
  if (all <= 0) return ms;
  for (auto& part : ms) part = all / kDayMs * kHourMs;
  for (auto rest = all % kDayMs; rest > 0;) {
    const auto part = std::min(rest, kHourMs - now_ms % kHourMs);
    ms[hour_of(now_ms)] += part;
    now_ms += part;
    rest -= part;
  }
  return ms;
}

// Few enough to keep: what goes is the step that gains least.
void thin(std::vector<Place>& hull) {
  while (hull.size() > kPacePlacesMax) {
    std::size_t least = 1;
    MicroCredits least_value = std::numeric_limits<MicroCredits>::max();
    for (std::size_t i = 1; i + 1 < hull.size(); ++i)
      if (const auto value = hull[i].value - hull[i - 1].value; value < least_value)
        least = i, least_value = value;
    hull.erase(hull.begin() + static_cast<std::ptrdiff_t>(least));
  }
}

// The time of an hour that was not seen goes to its neighbours round the clock that were, more to
// the nearer one. REQUIRES: one of them was seen.
void hand_on_unseen(const std::vector<std::vector<Place>>& hours, std::vector<std::int64_t>& ms) {
  for (std::size_t i = 0; i < kPaceHours; ++i) {
    if (!hours[i].empty()) continue;
    std::size_t before = 1, after = 1;
    while (hours[(i + kPaceHours - before) % kPaceHours].empty()) ++before;
    while (hours[(i + after) % kPaceHours].empty()) ++after;
    const auto part =
        ms[i] * static_cast<std::int64_t>(after) / static_cast<std::int64_t>(before + after);
    ms[(i + kPaceHours - before) % kPaceHours] += part;
    ms[(i + after) % kPaceHours] += ms[i] - part;
    ms[i] = 0;
  }
}

// The steps that could be taken until the end, and what they may cost in all: left * horizon.
std::vector<Step> steps_of(const std::vector<std::vector<Place>>& hours, const Means& means,
                           UtcMillis now_ms, Wide& left) {
  auto ms = time_by_hour(now_ms, means.ends_ms);
  hand_on_unseen(hours, ms);
  std::vector<Step> steps;
  left = Wide(means.left) * means.horizon_ms;
  for (std::size_t i = 0; i < kPaceHours; ++i) {
    const auto& hull = hours[i];
    if (hull.empty()) continue;
    left -= Wide(hull.front().cost) * ms[i];  // the cheapest is paid in any case
    for (std::size_t k = 1; k < hull.size(); ++k)
      steps.push_back({hull[k].cost - hull[k - 1].cost, hull[k].value - hull[k - 1].value, ms[i],
                       i == hour_of(now_ms)});
  }
  return steps;
}

// `step` is affordable for a part of its time only. Where it is the one that could be taken now,
// now is as good as later: it is taken when it can be for most of its time.
MoneyWeight weight_at(const Step& step, std::int64_t slope, bool mostly) {
  const auto at_least_face = [](std::int64_t weight) {
    return std::clamp(weight, kFaceValuePermille, kWeightPermilleMax);
  };
  const auto nudge = slope / kFaceValuePermille + 1;
  return {at_least_face(!step.now ? slope
                        : mostly  ? slope - nudge
                                  : slope + nudge),
          at_least_face(slope / 100 * kLeavingPercent)};
}

}  // namespace

std::vector<Place> hull_of(std::vector<Place> places) {
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
    return a.cost != b.cost ? a.cost < b.cost : a.value > b.value;
  });
  std::vector<Place> hull;
  for (const auto& place : places) {
    if (!hull.empty() && place.value <= hull.back().value) continue;
    while (hull.size() > 1) {
      const auto& last = hull.back();
      const auto& before = hull[hull.size() - 2];
      if (Wide(place.value - last.value) * (last.cost - before.cost) <
          Wide(last.value - before.value) * (place.cost - last.cost))
        break;
      hull.pop_back();
    }
    hull.push_back(place);
  }
  return hull;
}

void Pace::see(std::span<const Place> places, UtcMillis now_ms) {
  if (started_ms <= 0 || now_ms < seen_ms) *this = {now_ms, now_ms, {}};
  seen_ms = now_ms;
  hours.resize(kPaceHours);
  auto& hull = hours[hour_of(now_ms)];
  hull = hull_of({places.begin(), places.end()});
  thin(hull);
}

MoneyWeight Pace::weigh(const Means& means, UtcMillis now_ms) const {
  const auto seen = [](const auto& hull) { return !hull.empty(); };
  if (hours.size() != kPaceHours || std::none_of(hours.begin(), hours.end(), seen)) return {};
  Wide left = 0;
  auto steps = steps_of(hours, means, now_ms, left);
  std::sort(steps.begin(), steps.end(), [](const Step& a, const Step& b) {
    const auto x = Wide(a.value) * b.cost, y = Wide(b.value) * a.cost;
    return x != y ? x > y : a.now > b.now;
  });
  for (const auto& step : steps) {
    const auto slope = slope_permille(step);
    if (slope <= kFaceValuePermille) break;
    const auto needed = Wide(step.cost) * step.ms;
    if (needed > left) return weight_at(step, slope, left * 2 >= needed);
    left -= needed;
  }
  return {};
}

MicroCredits affordable_per_horizon(const Means& means, UtcMillis now_ms) {
  const auto remaining_ms = means.ends_ms - now_ms;
  if (remaining_ms <= means.horizon_ms || remaining_ms <= 0) return means.left;
  return static_cast<MicroCredits>(Wide(means.left) * means.horizon_ms / remaining_ms);
}

void Pace::see_nothing(UtcMillis now_ms) {
  const Place nowhere;
  see({&nowhere, 1}, now_ms);
}

json::Object Pace::to_json() const {
  json::Array seen;
  for (std::size_t i = 0; i < hours.size(); ++i) {
    if (hours[i].empty()) continue;
    json::Array places;
    for (const auto& place : hours[i])
      places.push_back(
          json::Object{{"cost_ucredits", place.cost}, {"value_ucredits", place.value}});
    seen.push_back(json::Object{{"hour", i}, {"places", std::move(places)}});
  }
  return {{"started_ms", started_ms}, {"seen_ms", seen_ms}, {"hours", std::move(seen)}};
}

Result<Pace> Pace::from_json(const json::Object& object) {
  Pace pace;
  ICON_TRY(pace.started_ms, json::get_int(object, "started_ms", 0, kPaceTimeMax));
  ICON_TRY(pace.seen_ms, json::get_int(object, "seen_ms", pace.started_ms, kPaceTimeMax));
  ICON_TRY(const auto* seen, json::get_array(object, "hours", kPaceHours));
  if (!seen->empty()) pace.hours.resize(kPaceHours);
  for (const auto& value : *seen) {
    const auto* entry = value.if_object();
    if (entry == nullptr) return fail(Code::kInvalid, "field 'hours' holds something else");
    ICON_TRY(const auto hour, json::get_int(*entry, "hour", 0, kPaceHours - 1));
    ICON_TRY(const auto* places, json::get_array(*entry, "places", kPacePlacesMax));
    std::vector<Place> hull;
    for (const auto& each : *places) {
      const auto* place = each.if_object();
      if (place == nullptr) return fail(Code::kInvalid, "field 'places' holds something else");
      Place read;
      ICON_TRY(read.cost, json::get_int(*place, "cost_ucredits", 0, kUtilityMax));
      ICON_TRY(read.value, json::get_int(*place, "value_ucredits", -kUtilityMax, kUtilityMax));
      hull.push_back(read);
    }
    pace.hours[static_cast<std::size_t>(hour)] = hull_of(std::move(hull));
  }
  return pace;
}

}  // namespace icon::budget
