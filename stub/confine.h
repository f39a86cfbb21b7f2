// Takes everything from this process that answering HTTP does not need, for good. Called once,
// after the sockets are open and before a stranger's byte is read.
#pragma once

#include <string>

#include "base/result.h"

namespace icon::stub {

struct Confinement {
  unsigned uid = 65534;  // nobody
  unsigned gid = 65534;
  unsigned descriptors_max = 1200;
};

// As root: an empty root directory, no groups, `uid`/`gid`, no capabilities. Always: no new
// privileges, not dumpable, no core files, no new files, no new processes, and a seccomp filter
// that leaves the system calls of a network loop (x86-64 and arm64; others and sanitized builds go
// without).
// Errors: kIo, kRefused; the process must then end.
Status confine(const Confinement& confinement);

}  // namespace icon::stub
