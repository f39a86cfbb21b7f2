#include "cli/text.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>

#include "budget/money.h"

namespace icon::cli {
namespace {

// Three significant digits: nobody reads more of a measurement.
std::string three_digits(double value) {
  const double magnitude = std::fabs(value);
  return fmt::format("{:.{}f}", value, magnitude < 10 ? 2 : magnitude < 100 ? 1 : 0);
}

// UTF-8 of what changes a line without being seen: zero-width characters, line separators, marks
// and overrides of direction (U+200B to U+200F, U+2028 to U+202E, U+2060 to U+2069), U+FEFF.
bool is_invisible(std::string_view text) {
  if (text.size() < 3) return false;
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) == 0xef) return byte(1) == 0xbb && byte(2) == 0xbf;
  if (byte(0) != 0xe2) return false;
  if (byte(1) == 0x80)
    return (byte(2) >= 0x8b && byte(2) <= 0x8f) || (byte(2) >= 0xa8 && byte(2) <= 0xae);
  return byte(1) == 0x81 && byte(2) >= 0xa0 && byte(2) <= 0xa9;
}

}  // namespace

std::string printable(std::string_view text, std::size_t characters_max) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    // C1 control characters are 0xC2 0x80 to 0xC2 0x9F in UTF-8: some terminals obey them.
    const bool c1 =
        byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
    const bool invisible = is_invisible(text.substr(i));
    if (c1) ++i;
    if (invisible) i += 2;
    if (result.size() >= characters_max) return result + "...";
    result += c1 || invisible || byte < 0x20 || byte == 0x7f ? '?' : static_cast<char>(byte);
  }
  return result;
}

std::string human_us(std::int64_t us) {
  const double value = static_cast<double>(us);
  if (std::llabs(us) < 1'000) return fmt::format("{} us", us);
  if (std::llabs(us) < 1'000'000) return three_digits(value / 1e3) + " ms";
  return three_digits(value / 1e6) + " s";
}

std::string human_bytes(std::int64_t bytes) {
  constexpr const char* kUnits[] = {"kB", "MB", "GB", "TB", "PB"};
  if (bytes < 1'000) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1e3;
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(kUnits)) {
    value /= 1e3;
    ++unit;
  }
  return three_digits(value) + ' ' + kUnits[unit];
}

std::string human_bits(std::int64_t bps) {
  if (bps >= 1'000'000'000) return fmt::format("{:g} Gbit/s", static_cast<double>(bps) / 1e9);
  if (bps >= 1'000'000) return fmt::format("{:g} Mbit/s", static_cast<double>(bps) / 1e6);
  return fmt::format("{:g} kbit/s", static_cast<double>(bps) / 1e3);
}

std::string human_credits(std::int64_t ucredits) { return budget::format_credits(ucredits); }

std::string human_duration(std::int64_t ms) {
  if (ms < 1'000) return fmt::format("{} ms", ms);
  if (ms < 120'000) return fmt::format("{} s", ms / 1'000);
  if (ms < 7'200'000) return fmt::format("{} min", ms / 60'000);
  if (ms < 172'800'000) return fmt::format("{} h", ms / 3'600'000);
  return fmt::format("{} d", ms / 86'400'000);
}

std::string human_time(UtcMillis at_ms, UtcMillis now_ms) {
  if (at_ms == 0) return "-";
  if (at_ms > now_ms) return "in " + human_duration(at_ms - now_ms);
  return human_duration(now_ms - at_ms) + " ago";
}

std::string text_of(const json::Object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  if (value == nullptr || !value->is_string() || value->get_string().empty()) return "-";
  return printable(std::string_view(value->get_string()));
}

std::optional<std::int64_t> number_of(const json::Object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  if (value == nullptr) return std::nullopt;
  boost::json::error_code error;
  const auto number = value->to_number<std::int64_t>(error);
  if (error) return std::nullopt;
  return number;
}

const json::Object& object_of(const json::Object& object, std::string_view key) {
  static const json::Object empty;
  const auto* value = object.if_contains(key);
  return value != nullptr && value->is_object() ? value->get_object() : empty;
}

const json::Array& array_of(const json::Object& object, std::string_view key) {
  static const json::Array empty;
  const auto* value = object.if_contains(key);
  return value != nullptr && value->is_array() ? value->get_array() : empty;
}

}  // namespace icon::cli
