#include "budget/pace.h"

#include <algorithm>
#include <vector>

namespace icon::budget {
namespace {

// Times like the average must count as good enough to spend: else a steady demand would never be.
constexpr std::int64_t kOfMeanPermille = 900;

__extension__ using Wide = __int128;

// The dearest place of the hull that is affordable, and the next one behind it.
struct Stretch {
  const Place* cheap = nullptr;
  const Place* dear = nullptr;
};

Stretch stretch_over(const std::vector<Place>& hull, MicroCredits affordable) {
  Stretch stretch;
  for (const auto& place : hull) {
    if (place.cost <= affordable) {
      stretch.cheap = &place;
    } else {
      stretch.dear = &place;
      break;
    }
  }
  return stretch;
}

// Rising and bending down: only these can be the best for some weight of money.
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

}  // namespace

std::int64_t worth_of_credit_permille(std::span<const Place> places, MicroCredits affordable) {
  const auto hull = hull_of({places.begin(), places.end()});
  const auto stretch = stretch_over(hull, affordable);
  if (stretch.dear == nullptr) return kFaceValuePermille;
  if (stretch.cheap == nullptr) return kWeightPermilleMax;
  const Wide slope = Wide(stretch.dear->value - stretch.cheap->value) * 1000 /
                     (stretch.dear->cost - stretch.cheap->cost);
  return static_cast<std::int64_t>(
      std::clamp(slope, Wide(kFaceValuePermille), Wide(kWeightPermilleMax)));
}

std::int64_t Pace::weigh(std::int64_t worth_permille, UtcMillis now_ms) {
  if (started_ms <= 0 || now_ms < seen_ms) *this = {now_ms, now_ms, worth_permille};
  const auto before = seen_ms - started_ms;
  const auto all = now_ms - started_ms;
  if (all > 0)
    mean_permille = static_cast<std::int64_t>(
        (Wide(mean_permille) * before + Wide(worth_permille) * (all - before)) / all);
  seen_ms = now_ms;
  if (worth_permille <= kFaceValuePermille || worth_permille >= kWeightPermilleMax)
    return worth_permille;
  return std::max(kFaceValuePermille,
                  static_cast<std::int64_t>(Wide(mean_permille) * kOfMeanPermille / 1000));
}

MicroCredits affordable_per_horizon(MicroCredits left, std::int64_t horizon_ms,
                                    std::int64_t remaining_ms) {
  if (remaining_ms <= horizon_ms || remaining_ms <= 0) return left;
  return static_cast<MicroCredits>(Wide(left) * horizon_ms / remaining_ms);
}

}  // namespace icon::budget
