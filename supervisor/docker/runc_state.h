// runc's record of a container, told that another process is now the first one: what makes `runc
// exec`, `kill`, `state` and `delete` work on a tree that CRIU restored.
#pragma once

#include <string>

#include "base/result.h"

namespace icon::supervisor {

// `state` is runc's state.json. `init_start` is field 22 of /proc/PID/stat. Pure. Errors: kInvalid.
Result<std::string> with_other_init(const std::string& state, int init_pid,
                                    std::uint64_t init_start, const std::string& rootfs);

// The same on runc's directory of a container; it then counts as running. Errors: kIo, kInvalid.
Status adopt_init(const std::string& state_directory, int init_pid, const std::string& rootfs);
// PID 1 as runc knows it. Errors: kNotFound, kInvalid.
Result<int> read_init_pid(const std::string& state_directory);
// Whether adopt_init() was done and nobody asked yet: `start` has nothing left to do.
bool take_adopted_mark(const std::string& state_directory);

}  // namespace icon::supervisor
