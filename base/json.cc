#include "base/json.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <vector>

namespace icon::json {
namespace {

std::string quoted(std::string_view key) { return "field '" + std::string(key) + "'"; }

Result<const Value*> find(const Object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  if (value == nullptr) return fail(Code::kInvalid, quoted(key) + " is missing");
  return value;
}

Status append_canonical(const Value& value, std::string& text) {
  if (value.is_double()) return fail(Code::kInvalid, "a signed document holds integers only");
  if (const auto* object = value.if_object()) {
    std::vector<std::string_view> keys;
    for (const auto& entry : *object) keys.push_back(entry.key());
    std::sort(keys.begin(), keys.end());
    text += '{';
    for (const auto key : keys) {
      if (text.back() != '{') text += ',';
      text += boost::json::serialize(boost::json::string(key));
      text += ':';
      ICON_CHECK(append_canonical(object->at(key), text));
    }
    text += '}';
    return {};
  }
  if (const auto* array = value.if_array()) {
    text += '[';
    for (const auto& item : *array) {
      if (text.back() != '[') text += ',';
      ICON_CHECK(append_canonical(item, text));
    }
    text += ']';
    return {};
  }
  text += boost::json::serialize(value);
  return {};
}

}  // namespace

Result<Value> parse(std::string_view text, std::size_t bytes_max, std::size_t depth_max) {
  if (text.size() > bytes_max)
    return fail(Code::kLimit, "JSON of more than " + std::to_string(bytes_max) + " bytes");
  boost::json::parse_options options;
  options.max_depth = depth_max;
  boost::json::error_code error;
  Value value = boost::json::parse(text, error, {}, options);
  if (error) return fail(Code::kInvalid, "not JSON: " + error.message());
  return value;
}

Result<Object> parse_object(std::string_view text, std::size_t bytes_max, std::size_t depth_max) {
  ICON_TRY(Value value, parse(text, bytes_max, depth_max));
  auto* object = value.if_object();
  if (object == nullptr) return fail(Code::kInvalid, "not a JSON object");
  return std::move(*object);
}

std::size_t depth(const Value& value) {
  std::size_t below = 0;
  if (const auto* object = value.if_object()) {
    for (const auto& entry : *object) below = std::max(below, depth(entry.value()));
  } else if (const auto* array = value.if_array()) {
    for (const auto& item : *array) below = std::max(below, depth(item));
  } else {
    return 0;
  }
  return below + 1;
}

Result<std::string> get_string(const Object& object, std::string_view key, std::size_t bytes_max) {
  ICON_TRY(const Value* value, find(object, key));
  const auto* text = value->if_string();
  if (text == nullptr) return fail(Code::kInvalid, quoted(key) + " is not a string");
  if (text->size() > bytes_max)
    return fail(Code::kInvalid,
                quoted(key) + " is longer than " + std::to_string(bytes_max) + " bytes");
  return std::string(text->data(), text->size());
}

Result<std::int64_t> get_int(const Object& object, std::string_view key, std::int64_t min,
                             std::int64_t max) {
  ICON_TRY(const Value* value, find(object, key));
  boost::json::error_code error;
  const auto number = value->is_double() ? 0 : value->to_number<std::int64_t>(error);
  if (value->is_double() || error) return fail(Code::kInvalid, quoted(key) + " is not an integer");
  if (number < min || number > max)
    return fail(Code::kInvalid, quoted(key) + " is not between " + std::to_string(min) + " and " +
                                    std::to_string(max));
  return number;
}

Result<bool> get_bool(const Object& object, std::string_view key) {
  ICON_TRY(const Value* value, find(object, key));
  if (!value->is_bool()) return fail(Code::kInvalid, quoted(key) + " is not true or false");
  return value->get_bool();
}

Result<const Object*> get_object(const Object& object, std::string_view key) {
  ICON_TRY(const Value* value, find(object, key));
  if (!value->is_object()) return fail(Code::kInvalid, quoted(key) + " is not an object");
  return &value->get_object();
}

Result<const Array*> get_array(const Object& object, std::string_view key, std::size_t items_max) {
  ICON_TRY(const Value* value, find(object, key));
  if (!value->is_array()) return fail(Code::kInvalid, quoted(key) + " is not an array");
  if (value->get_array().size() > items_max)
    return fail(Code::kInvalid,
                quoted(key) + " has more than " + std::to_string(items_max) + " entries");
  return &value->get_array();
}

Result<std::string> get_string_or(const Object& object, std::string_view key, std::string fallback,
                                  std::size_t bytes_max) {
  if (!object.contains(key)) return fallback;
  return get_string(object, key, bytes_max);
}

Result<std::int64_t> get_int_or(const Object& object, std::string_view key, std::int64_t fallback,
                                std::int64_t min, std::int64_t max) {
  if (!object.contains(key)) return fallback;
  return get_int(object, key, min, max);
}

Result<std::string> canonical(const Value& value) {
  std::string text;
  ICON_CHECK(append_canonical(value, text));
  return text;
}

}  // namespace icon::json
