#include "simulate/matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>
#include <set>

#include "agent/policy.h"

namespace icon::simulate {
namespace {

constexpr std::int64_t kRttUsMax = 60'000'000;
constexpr std::int64_t kUnmeasured = -1;
constexpr std::int64_t kInsideUs = 1'000;
constexpr double kEarthKm = 6'371;
constexpr double kUsPerKm = 10;  // there and back in fibre
constexpr double kDetour = 1.6;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r";
  const auto begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

// Up to `most` of them, so that a line of commas costs no more than a line of numbers.
std::vector<std::string_view> cells_of(std::string_view line, std::size_t most) {
  std::vector<std::string_view> cells;
  while (cells.size() < most) {
    const auto comma = line.find(',');
    cells.push_back(trimmed(line.substr(0, comma)));
    if (comma == std::string_view::npos) break;
    line.remove_prefix(comma + 1);
  }
  return cells;
}

tl::unexpected<Error> wrong(int line, const std::string& what) {
  return fail(Code::kInvalid, fmt::format("matrix: line {}: {}", line, what));
}

Status check_names(const std::vector<std::string>& names) {
  if (names.empty()) return fail(Code::kInvalid, "regions: at least one is needed");
  if (names.size() > kRegionsMax)
    return fail(Code::kLimit,
                fmt::format("regions: {} are more than {}", names.size(), kRegionsMax));
  std::set<std::string_view> seen;
  for (const auto& name : names) {
    ICON_CHECK(check_region_name(name));
    if (!seen.insert(name).second)
      return fail(Code::kInvalid, "regions: '" + name + "' comes twice");
  }
  return {};
}

Result<std::int64_t> read_cell(std::string_view cell) {
  if (cell == "-") return kUnmeasured;
  const bool plain = !cell.empty() && cell.size() <= 16 &&
                     cell.find_first_not_of("0123456789.") == std::string_view::npos;
  const auto rtt_us = plain ? agent::parse_duration_us(std::string(cell) + "ms")
                            : Result<std::int64_t>(fail(Code::kInvalid, ""));
  if (!rtt_us || *rtt_us > kRttUsMax)
    return fail(Code::kInvalid,
                "not a round-trip time in milliseconds, 0 to 60000 with at most "
                "six decimals, or '-'");
  return *rtt_us;
}

class Reader {
 public:
  Status line(std::string_view text) {
    ++line_;
    text = trimmed(text);
    if (text.empty() || text.front() == '#') return {};
    return matrix_.names.empty() ? header(text) : row(text);
  }
  Result<Matrix> finish() {
    const auto size = matrix_.names.size();
    if (size == 0) return fail(Code::kInvalid, "matrix: it is empty");
    if (rows_ != size) return wrong(line_, fmt::format("{} rows are missing", size - rows_));
    for (std::size_t i = 0; i < size; ++i)
      for (std::size_t j = 0; j < size; ++j) {
        auto& rtt_us = matrix_.rtt_us[i * size + j];
        if (rtt_us == kUnmeasured) rtt_us = matrix_.rtt(j, i);
        if (rtt_us == kUnmeasured)
          return fail(Code::kInvalid, "matrix: nothing is known between " + matrix_.names[i] +
                                          " and " + matrix_.names[j]);
      }
    return std::move(matrix_);
  }

 private:
  Status header(std::string_view text) {
    const auto cells = cells_of(text, kRegionsMax + 2);
    for (std::size_t i = 1; i < cells.size(); ++i) matrix_.names.emplace_back(cells[i]);
    if (const auto status = check_names(matrix_.names); !status)
      return wrong(line_, status.error().message);
    matrix_.rtt_us.reserve(matrix_.names.size() * matrix_.names.size());
    return {};
  }
  Status row(std::string_view text) {
    const auto size = matrix_.names.size();
    if (rows_ == size) return wrong(line_, "more rows than there are regions in the first line");
    const auto cells = cells_of(text, size + 2);
    if (cells.front() != matrix_.names[rows_])
      return wrong(line_, "the row of '" + matrix_.names[rows_] +
                              "' was expected: rows come in the "
                              "order of the first line");
    if (cells.size() != size + 1)
      return wrong(line_, fmt::format("{} numbers were expected", size));
    for (std::size_t i = 1; i < cells.size(); ++i) {
      const auto rtt_us = read_cell(cells[i]);
      if (!rtt_us)
        return wrong(line_, "column '" + matrix_.names[i - 1] + "': " + rtt_us.error().message);
      matrix_.rtt_us.push_back(*rtt_us);
    }
    ++rows_;
    return {};
  }

  Matrix matrix_;
  std::size_t rows_ = 0;
  int line_ = 0;
};

struct Point {
  double latitude = 0;
  double longitude = 0;
};

double distance_km(const Point& a, const Point& b) {
  const double cosine =
      std::sin(a.latitude) * std::sin(b.latitude) +
      std::cos(a.latitude) * std::cos(b.latitude) * std::cos(a.longitude - b.longitude);
  return kEarthKm * std::acos(std::clamp(cosine, -1.0, 1.0));
}

}  // namespace

Status check_region_name(std::string_view name) {
  const bool fine = !name.empty() && name.size() <= kRegionNameBytesMax &&
                    std::all_of(name.begin(), name.end(), [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                             (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
                    });
  if (fine) return {};
  return fail(Code::kInvalid, fmt::format("a region's name is up to {} letters, digits, '.', '-', "
                                          "'_'",
                                          kRegionNameBytesMax));
}

Result<Matrix> read_matrix(std::string_view text) {
  if (text.size() > kMatrixBytesMax)
    return fail(Code::kLimit, fmt::format("matrix: more than {} bytes", kMatrixBytesMax));
  Reader reader;
  while (!text.empty()) {
    const auto end = text.find('\n');
    ICON_CHECK(reader.line(text.substr(0, end)));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return reader.finish();
}

Result<Matrix> choose_regions(const Matrix& matrix, const std::vector<std::string>& names) {
  ICON_CHECK(check_names(names));
  std::vector<std::size_t> rows;
  for (const auto& name : names) {
    const auto found = std::find(matrix.names.begin(), matrix.names.end(), name);
    if (found == matrix.names.end())
      return fail(Code::kNotFound, "matrix: no region '" + name + "' in it");
    rows.push_back(static_cast<std::size_t>(found - matrix.names.begin()));
  }
  Matrix chosen{names, {}};
  for (const auto i : rows)
    for (const auto j : rows) chosen.rtt_us.push_back(matrix.rtt(i, j));
  return chosen;
}

Result<Matrix> synthetic_matrix(const std::vector<std::string>& names, std::uint64_t seed) {
  ICON_CHECK(check_names(names));
  std::mt19937_64 random(seed);
  const auto between = [&](double low, double high) {
    return low + (high - low) * static_cast<double>(random() >> 11) * 0x1p-53;
  };
  std::vector<Point> points;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const double latitude = between(-40, 60) * std::numbers::pi / 180;
    points.push_back({latitude, between(-std::numbers::pi, std::numbers::pi)});
  }
  Matrix matrix{names, {}};
  for (std::size_t i = 0; i < names.size(); ++i)
    for (std::size_t j = 0; j < names.size(); ++j)
      matrix.rtt_us.push_back(
          kInsideUs + (i == j ? 0
                              : static_cast<std::int64_t>(distance_km(points[i], points[j]) *
                                                          kUsPerKm * kDetour)));
  return matrix;
}

}  // namespace icon::simulate
