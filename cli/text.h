// Quantities and strangers' strings as a person reads them. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/json.h"

namespace icon::cli {

// Without control characters and those that hide or turn text: names come from strangers and end on
// a terminal. Cut to
// `characters_max` bytes with "...".
std::string printable(std::string_view text, std::size_t characters_max = 200);

std::string human_us(std::int64_t us);        // "870 us", "12.3 ms", "1.25 s"
std::string human_bytes(std::int64_t bytes);  // "512 B", "64.0 MB" (powers of 1000)
std::string human_bits(std::int64_t bps);     // "100 Mbit/s"
std::string human_credits(std::int64_t ucredits);
std::string human_duration(std::int64_t ms);  // "3 s", "5 min", "2 h", "4 d"
// "5 min ago", "in 2 h"; "-" for 0.
std::string human_time(UtcMillis at_ms, UtcMillis now_ms);

// Lenient reading of our own supervisor's answers: what is absent shows as "-".
std::string text_of(const json::Object& object, std::string_view key);
std::optional<std::int64_t> number_of(const json::Object& object, std::string_view key);
const json::Object& object_of(const json::Object& object, std::string_view key);
const json::Array& array_of(const json::Object& object, std::string_view key);

}  // namespace icon::cli
