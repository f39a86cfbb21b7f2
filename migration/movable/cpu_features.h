// What a processor can do, as `criu cpuinfo dump` writes it, and what a service that was started on
// one misses on another: it has chosen its instructions when it started.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace icon::migration {

inline constexpr std::size_t kCpuImageBytesMax = 16 << 10;

struct CpuFeatures {
  std::vector<std::uint32_t> words;  // CPUID's, in CRIU's order
  std::uint64_t state_parts = 0;     // of the processor's state: XSAVE's components
  std::int64_t state_bytes = 0;      // what XSAVE writes now
  std::int64_t state_bytes_max = 0;

  json::Object to_json() const;
  // Errors: kInvalid.
  static Result<CpuFeatures> from_json(const json::Object& object);
};

// Of cpuinfo.img, the format of CRIU 4.2.1 (images/cpuinfo.proto). Errors: kInvalid; kUnavailable
// when it is of another kind of processor than x86.
Result<CpuFeatures> read_cpu_image(std::span<const std::uint8_t> image);

// By Linux's names: what programs may use here and not there. CRIU's own list.
std::vector<std::string> missing_instructions(const CpuFeatures& here, const CpuFeatures& there);
// Whether state that was saved here can be loaded there, as CRIU sees it.
bool state_fits(const CpuFeatures& here, const CpuFeatures& there);

}  // namespace icon::migration
