// What of a tree's memory CRIU puts into its images, whatever goes ahead: shared and locked memory.
// It travels while the service stands still.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"

namespace icon::migration {

// At least so many bytes. Each page that several of `pids` share counts once. Asks the kernel
// (/proc/PID/smaps_rollup, proc(5)), which goes through the page tables: 10 ms per GB, on any
// thread. Who has ended counts for nothing. Errors: kIo.
Result<std::uint64_t> image_memory(std::span<const int> pids);

// Of one process. Pure. Errors: kInvalid.
Result<std::uint64_t> image_memory_of(std::string_view smaps_rollup);

}  // namespace icon::migration
