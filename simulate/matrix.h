// Round-trip times between regions: measured ones from a file, or those of a synthetic internet.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace icon::simulate {

inline constexpr std::size_t kMatrixBytesMax = 4 << 20;
inline constexpr std::size_t kRegionsMax = 512;
inline constexpr std::size_t kRegionNameBytesMax = 64;

// rtt(a, b) is what users in `a` see of a host in `b`, both at the region's edge.
struct Matrix {
  std::vector<std::string> names;
  std::vector<std::int64_t> rtt_us;  // row by row

  std::int64_t rtt(std::size_t from, std::size_t to) const {
    return rtt_us[from * names.size() + to];
  }
};

// Letters, digits, '.', '-' and '_'. Errors: kInvalid.
Status check_region_name(std::string_view name);
// Comma-separated milliseconds, one row per region, with the names in the first row and column:
//   rtt_ms,fra,nyc
//   fra,0.6,82
//   nyc,81.5,0.9
// "-" is what was not measured: then the other direction counts, and must be there. Empty lines and
// those that begin with '#' are skipped. Errors: kInvalid and kLimit, with the line.
Result<Matrix> read_matrix(std::string_view text);
// Only these regions, in this order. Errors: kNotFound, kInvalid (one twice).
Result<Matrix> choose_regions(const Matrix& matrix, const std::vector<std::string>& names);
// Regions somewhere on a globe; fibre, with the detours that routes make.
// Errors: kInvalid, kLimit: the names.
Result<Matrix> synthetic_matrix(const std::vector<std::string>& names, std::uint64_t seed);

}  // namespace icon::simulate
