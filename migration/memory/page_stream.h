// Pages of memory on their way: frames of a fixed header and up to kFramePagesMax whole pages. A
// page that comes twice replaces the earlier one. The stream is authenticated and encrypted by who
// carries it (TLS between the hosts); its length and BLAKE2b are in the signed manifest.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/result.h"
#include "migration/memory/memory_tracker.h"

namespace icon::migration {

inline constexpr std::uint32_t kFramePagesMax = 256;
inline constexpr std::size_t kFrameHeaderBytes = 20;

struct FrameHeader {
  enum class Kind : std::uint32_t {
    kPages = 1,
    kEnd = 2,  // the memory is complete; `pages` and `address` are 0
  };
  Kind kind = Kind::kPages;
  std::uint32_t pid = 0;      // inside its PID namespace: the name in CRIU's images
  std::uint64_t address = 0;  // of the first page
  std::uint32_t pages = 0;    // 1 to kFramePagesMax follow

  // Little-endian, in the order of the fields.
  std::array<std::uint8_t, kFrameHeaderBytes> encode() const;
  // Errors: kInvalid.
  static Result<FrameHeader> decode(const std::array<std::uint8_t, kFrameHeaderBytes>& bytes);
};

}  // namespace icon::migration
