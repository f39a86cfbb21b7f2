// Strict reading of strangers' JSON: bounded, typed, with the field's name in every error.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace icon::json {

using Object = boost::json::object;
using Array = boost::json::array;
using Value = boost::json::value;

inline constexpr std::size_t kDepthMax = 16;  // of what comes from outside
// Of what we have written ourselves: what came from outside lies deeper there.
inline constexpr std::size_t kOwnDepthMax = 2 * kDepthMax;

// At most `bytes_max` bytes and `depth_max` levels, no duplicate keys accepted as different values
// (the last wins and the canonical form shows it). Errors: kInvalid, kLimit.
Result<Value> parse(std::string_view text, std::size_t bytes_max,
                    std::size_t depth_max = kDepthMax);
Result<Object> parse_object(std::string_view text, std::size_t bytes_max,
                            std::size_t depth_max = kDepthMax);

// Levels of objects and arrays: 0 for a number or a text.
std::size_t depth(const Value& value);

// Errors: kInvalid when the field is absent, of another type or out of range.
Result<std::string> get_string(const Object& object, std::string_view key,
                               std::size_t bytes_max = 1024);
Result<std::int64_t> get_int(const Object& object, std::string_view key, std::int64_t min,
                             std::int64_t max);
Result<bool> get_bool(const Object& object, std::string_view key);
Result<const Object*> get_object(const Object& object, std::string_view key);
Result<const Array*> get_array(const Object& object, std::string_view key, std::size_t items_max);

// The same, with a value for an absent field.
Result<std::string> get_string_or(const Object& object, std::string_view key, std::string fallback,
                                  std::size_t bytes_max = 1024);
Result<std::int64_t> get_int_or(const Object& object, std::string_view key, std::int64_t fallback,
                                std::int64_t min, std::int64_t max);

// One text per value: keys sorted, no white space, integers only. What signatures cover.
// Errors: kInvalid for a floating-point number.
Result<std::string> canonical(const Value& value);

}  // namespace icon::json
