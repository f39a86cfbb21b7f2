// Children that this process never started: a subreaper gets those of its descendants that lose
// their parent. Nobody waits for them, and ended they would stay, as zombies, as long as we do.
#pragma once

#include <functional>

namespace icon {

// Reaps those that have ended and returns how many. Never who was started here (base/subprocess.h),
// nor who `is_awaited` by somebody else. The thread that starts children.
int reap_orphans(const std::function<bool(int pid)>& is_awaited);

}  // namespace icon
