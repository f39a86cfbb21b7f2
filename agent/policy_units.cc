// Numbers with units as people write them in a policy.
#include <array>
#include <charconv>
#include <limits>

#include "agent/policy.h"

namespace icon::agent {
namespace {

struct Unit {
  std::string_view name;
  std::int64_t factor;
};

constexpr std::array<Unit, 6> kDurations{{{"us", 1},
                                          {"ms", 1'000},
                                          {"s", 1'000'000},
                                          {"m", 60'000'000},
                                          {"h", 3'600'000'000},
                                          {"d", 86'400'000'000}}};
constexpr std::array<Unit, 8> kBytes{{{"", 1},
                                      {"B", 1},
                                      {"KiB", 1LL << 10},
                                      {"MiB", 1LL << 20},
                                      {"GiB", 1LL << 30},
                                      {"kB", 1'000},
                                      {"MB", 1'000'000},
                                      {"GB", 1'000'000'000}}};
constexpr std::array<Unit, 4> kBandwidths{
    {{"bit", 1}, {"kbit", 1'000}, {"Mbit", 1'000'000}, {"Gbit", 1'000'000'000}}};

constexpr std::size_t kDecimalsMax = 6;

std::string names_of(std::span<const Unit> units) {
  std::string names;
  for (const auto& unit : units)
    if (!unit.name.empty()) names += (names.empty() ? "" : ", ") + std::string(unit.name);
  return names;
}

// Digits, perhaps a point and more digits, and a unit. Exact: no floating point.
Result<std::int64_t> parse_with_unit(std::string_view text, std::span<const Unit> units,
                                     std::string_view what) {
  const auto refuse = [&] {
    return fail(Code::kInvalid, "not " + std::string(what) + ": '" +
                                    std::string(text.substr(0, 40)) + "' (a number and one of " +
                                    names_of(units) + ")");
  };
  const auto number_end = std::min(text.find_first_not_of("0123456789."), text.size());
  const auto number = text.substr(0, number_end);
  const auto unit_name = text.substr(number_end);
  const Unit* unit = nullptr;
  for (const auto& candidate : units)
    if (candidate.name == unit_name) unit = &candidate;
  const auto point = number.find('.');
  const auto whole_text = number.substr(0, point);
  const auto fraction_text =
      point == std::string_view::npos ? std::string_view() : number.substr(point + 1);
  std::int64_t whole = 0;
  const auto parsed =
      std::from_chars(whole_text.data(), whole_text.data() + whole_text.size(), whole);
  if (unit == nullptr || whole_text.empty() || parsed.ec != std::errc() ||
      parsed.ptr != whole_text.data() + whole_text.size() ||
      (point != std::string_view::npos && fraction_text.empty()) ||
      fraction_text.size() > kDecimalsMax || fraction_text.find('.') != std::string_view::npos)
    return refuse();
  __int128 value = static_cast<__int128>(whole) * unit->factor;
  std::int64_t scale = 1;
  std::int64_t fraction = 0;
  for (const char digit : fraction_text) {
    scale *= 10;
    fraction = fraction * 10 + (digit - '0');
  }
  value += static_cast<__int128>(fraction) * unit->factor / scale;
  if (value > std::numeric_limits<std::int64_t>::max()) return refuse();
  return static_cast<std::int64_t>(value);
}

}  // namespace

Result<std::int64_t> parse_duration_us(std::string_view text) {
  return parse_with_unit(text, kDurations, "a duration");
}

Result<std::int64_t> parse_bytes(std::string_view text) {
  return parse_with_unit(text, kBytes, "a size");
}

Result<std::int64_t> parse_bandwidth_bps(std::string_view text) {
  return parse_with_unit(text, kBandwidths, "a bandwidth");
}

}  // namespace icon::agent
