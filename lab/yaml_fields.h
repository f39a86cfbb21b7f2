// Strict reading of YAML: every error names line and key. `path` is the map's own key, like
// "links[2]". Pure, except that yaml-cpp throws on misuse of a node; the caller catches.
#pragma once

#include <yaml-cpp/yaml.h>

#include <initializer_list>
#include <string>
#include <string_view>

#include "base/result.h"

namespace icon::lab {

// "line 3, links[2].delay_ms: <what>", code kInvalid.
tl::unexpected<Error> bad(const YAML::Node& where, const std::string& key, const std::string& what);
std::string item_path(const std::string& list, std::size_t index);

// Errors: kInvalid unless `map` is a map with these keys only, none twice.
Status check_keys(const YAML::Node& map, const std::string& key,
                  std::initializer_list<std::string_view> known);
// One line of printable ASCII, at most 512 characters.
Result<std::string> text_at(const YAML::Node& map, const std::string& path, const char* key);
Result<std::string> text_or(const YAML::Node& map, const std::string& path, const char* key,
                            std::string fallback);
// From 0 to `max`.
Result<double> number_or(const YAML::Node& map, const std::string& path, const char* key,
                         double fallback, double max);
Result<int> int_or(const YAML::Node& map, const std::string& path, const char* key, int fallback,
                   int min, int max);
// An absent list is an empty one. `path` ends with a dot or is empty. Errors: kInvalid, kLimit.
Result<YAML::Node> list_at(const YAML::Node& map, const std::string& path, const char* key,
                           std::size_t items_max);

}  // namespace icon::lab
