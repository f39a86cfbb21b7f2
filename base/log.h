// One event per line, as JSON, to stderr (or a file): {"time":..,"level":..,"event":..,fields}.
// spdlog does the writing. Secrets never get here. Any thread.
#pragma once

#include <boost/json/value.hpp>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace icon::log {

struct Field {
  Field(std::string_view key, boost::json::value value) : key(key), value(std::move(value)) {}
  Field(std::string_view key, std::string_view text)
      : key(key), value(boost::json::string_view(text.data(), text.size())) {}
  Field(std::string_view key, const std::string& text) : Field(key, std::string_view(text)) {}
  Field(std::string_view key, const char* text) : Field(key, std::string_view(text)) {}
  std::string_view key;
  boost::json::value value;
};
using Fields = std::initializer_list<Field>;

enum class Level { kDebug, kInfo, kWarn, kError };

// Must run before the first event; a second call replaces the sink. An empty path means stderr.
// `human` prints "event key=value" instead of JSON (for a terminal).
void init(Level level, const std::string& path = {}, bool human = false);
void write(Level level, std::string_view event, Fields fields);

inline void debug(std::string_view event, Fields fields = {}) {
  write(Level::kDebug, event, fields);
}
inline void info(std::string_view event, Fields fields = {}) { write(Level::kInfo, event, fields); }
inline void warn(std::string_view event, Fields fields = {}) { write(Level::kWarn, event, fields); }
inline void error(std::string_view event, Fields fields = {}) {
  write(Level::kError, event, fields);
}

}  // namespace icon::log
