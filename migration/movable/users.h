// What users and user namespaces have to do with a move. Pure; a part of obstacles.cc.
#pragma once

#include <optional>

#include "migration/movable/obstacles.h"

namespace icon::migration {

// Kind, what and fix of the result are set.
std::optional<Obstacle> user_obstacle(const ProcessTree& tree, const Process& process,
                                      const Provisions& provisions);

}  // namespace icon::migration
