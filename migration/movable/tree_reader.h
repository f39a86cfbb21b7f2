// Reads what a process tree holds from /proc and sock_diag(7), while it runs and without stopping
// it. Needs root. Blocking (milliseconds; tens of them with thousands of descriptors): on a worker
// thread, which visits the tree's network namespaces.
#pragma once

#include "base/result.h"
#include "migration/movable/tree.h"

namespace icon::migration {

inline constexpr std::size_t kTreeProcessesMax = 8'192;
inline constexpr std::size_t kTreeDescriptorsMax = 400'000;

// The tree below `root`, and whoever else is in its PID namespace. What ends meanwhile is left out.
// Errors: kNotFound (no such process), kRefused (no privilege), kLimit, kIo.
Result<ProcessTree> read_tree(int root);

}  // namespace icon::migration
