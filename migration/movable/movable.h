// Whether a running process tree can be moved, and if not, why.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "migration/movable/obstacles.h"

namespace icon::migration {

struct MovableReport {
  std::size_t processes = 0;
  std::vector<Obstacle> obstacles;
  bool movable() const;
  json::Object to_json() const;
};
// The kinds' own words about the first of them that block, for an error message.
std::string summary(const MovableReport& report);

// Reads and judges; what is gone when it looks a second time is not told. Blocking, as read_tree().
// Errors: those of read_tree().
Result<MovableReport> check_movable(int root, const Provisions& provisions);

}  // namespace icon::migration
