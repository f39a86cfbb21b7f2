// CRIU's pagemap-PID.img: which pages a process has, and which of them somebody else will bring.
// The format of CRIU 4.2.1: two magic numbers, then protobuf messages with their length before
// them (images/pagemap.proto). It comes from a peer: every number is checked.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "migration/memory/memory_tracker.h"

namespace icon::migration {

inline constexpr std::size_t kPagemapBytesMax = 64 << 20;

// The ranges whose contents are not in the images (flag PE_LAZY without PE_PRESENT), ascending and
// apart from each other. Errors: kInvalid.
Result<std::vector<MemoryRange>> lazy_ranges(std::span<const std::uint8_t> image);

}  // namespace icon::migration
