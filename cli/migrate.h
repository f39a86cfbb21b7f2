// `icon migrate` and `icon replicate`: asks an ICON to move and shows how it goes.
#pragma once

#include <string>

#include "base/clock.h"
#include "cli/context.h"

namespace icon::cli {

struct MigrateOptions {
  std::string icon;
  std::string to;
  bool replica = false;  // it stays, and a replica of it starts there
  bool wait = true;
  Millis timeout{300'000};   // for all of it
  Millis begin_max{30'000};  // for the agent to ask, buy and order
  Millis poll{100};          // between looks at whether it has begun
};

// kOk when the ICON runs at its destination; kRefused when it was refused or rolled back (and
// serves where it was); kTimedOut when nothing is decided yet: the migration itself goes on.
int migrate_icon(Context& context, const MigrateOptions& options);

}  // namespace icon::cli
