#include "migration/movable/movable.h"

#include <fmt/format.h>

#include <algorithm>

#include "migration/movable/tree_reader.h"

namespace icon::migration {
namespace {

constexpr std::size_t kSummaryMax = 3;

bool is_same(const Obstacle& one, const Obstacle& other) {
  return one.pid == other.pid && one.kind == other.kind && one.where == other.where;
}

}  // namespace

bool MovableReport::movable() const {
  return std::none_of(obstacles.begin(), obstacles.end(),
                      [](const Obstacle& obstacle) { return obstacle.blocks; });
}

json::Object MovableReport::to_json() const {
  json::Array list;
  for (const auto& obstacle : obstacles) list.push_back(obstacle.to_json());
  return {{"movable", movable()}, {"processes", processes}, {"obstacles", std::move(list)}};
}

std::string summary(const MovableReport& report) {
  std::string text;
  std::size_t told = 0;
  std::size_t more = 0;
  for (const auto& obstacle : report.obstacles) {
    if (!obstacle.blocks) continue;
    if (told++ < kSummaryMax)
      text += (text.empty() ? "" : "; ") + obstacle.to_string();
    else
      ++more;
  }
  if (more > 0) text += fmt::format("; and {} more", more);
  return text;
}

Result<MovableReport> check_movable(int root, const Provisions& provisions) {
  ICON_TRY(const auto first, read_tree(root));
  MovableReport report{first.processes.size(), find_obstacles(first, provisions)};
  if (report.obstacles.empty()) return report;
  // A tree that changes while it is read may look odd for a moment.
  ICON_TRY(const auto second, read_tree(root));
  const auto still = find_obstacles(second, provisions);
  std::erase_if(report.obstacles, [&](const Obstacle& obstacle) {
    return std::none_of(still.begin(), still.end(),
                        [&](const Obstacle& other) { return is_same(obstacle, other); });
  });
  return report;
}

}  // namespace icon::migration
