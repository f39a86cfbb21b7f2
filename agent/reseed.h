// After a clone: tells what runs in this container that its memory has a twin. Processes that have
// libicon-reseed.so preloaded draw new randomness and say so; the policy's command and signal are
// for those that keep random state of their own (docs/lifecycle.md).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "agent/init.h"
#include "agent/policy.h"
#include "base/task.h"

namespace icon::agent {

// Of a clone in which nothing was told: for people.
inline constexpr const char* kUnreseeded =
    "nothing in this clone was reseeded: what it draws at random its parent draws, too. Preload "
    "libicon-reseed.so, or give the policy replicate.signal or replicate.command";

// How many processes have answered. Nothing of it is open afterwards. Errors: kTimeout (who did
// not answer), kRefused (the command failed), kIo.
Task<Result<std::size_t>> reseed(Init& init, const ReplicatePolicy& policy, std::string run_dir);

}  // namespace icon::agent
