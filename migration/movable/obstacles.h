// What stands in the way of a move, and what to do about it. Pure: judges what tree_reader.h has
// read. The list is CRIU's (4.2.1 with our patches and our options), tried case by case in
// tests/criu/movable_test.cc: what CRIU can carry is not in it, however odd it looks.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "migration/movable/tree.h"

namespace icon::migration {

struct Obstacle {
  std::string kind;  // stable, for scripts: "io_uring"
  int pid = 0;       // on this host
  int inner_pid = 0;
  std::string process;  // its name; any bytes
  std::string where;    // "descriptor 7", "memory", a mount point; "" for the process itself
  std::string what;     // what it is and why it cannot come along
  std::string fix;
  bool blocks = true;  // false: the move works, but this stays behind

  // "redis-server (pid 7), descriptor 5: ..."
  std::string to_string() const;
  json::Object to_json() const;
};

// What the mover takes care of by itself.
struct Provisions {
  std::set<std::string> external_mounts;  // mount points that it mounts again at the destination
  int quiescing = 0;  // closes its connections to the outside when it is asked to: the agent
  bool carries_other_users = true;  // processes that are not root's: Checkpointer knows
};

std::vector<Obstacle> find_obstacles(const ProcessTree& tree, const Provisions& provisions);

}  // namespace icon::migration
