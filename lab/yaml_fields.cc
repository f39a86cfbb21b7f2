#include "lab/yaml_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

namespace icon::lab {
namespace {

constexpr std::size_t kTextMax = 512;

// Text that goes into a zone file: one line of printable ASCII.
bool is_one_line(std::string_view text, std::size_t length_max) {
  return text.size() <= length_max &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace

tl::unexpected<Error> bad(const YAML::Node& where, const std::string& key,
                          const std::string& what) {
  return fail(Code::kInvalid,
              "line " + std::to_string(where.Mark().line + 1) + ", " + key + ": " + what);
}

Status check_keys(const YAML::Node& map, const std::string& key,
                  std::initializer_list<std::string_view> known) {
  if (!map.IsMap()) return bad(map, key, "must be a map");
  std::set<std::string> seen;
  for (const auto& entry : map) {
    const auto name = entry.first.as<std::string>();
    const auto path = key.empty() ? name : fmt::format("{}.{}", key, name);
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      std::string names;
      for (const auto one : known) names.append(names.empty() ? "" : ", ").append(one);
      return bad(entry.first, path, "no such key; known here: " + names);
    }
    if (!seen.insert(name).second) return bad(entry.first, path, "given twice");
  }
  return {};
}

Result<std::string> text_at(const YAML::Node& map, const std::string& path, const char* key) {
  const YAML::Node node = map[key];
  if (!node) return bad(map, path + "." + key, "is missing");
  if (!node.IsScalar() || !is_one_line(node.Scalar(), kTextMax))
    return bad(node, path + "." + key, "must be one line of text");
  return node.Scalar();
}

Result<std::string> text_or(const YAML::Node& map, const std::string& path, const char* key,
                            std::string fallback) {
  if (!map[key]) return fallback;
  return text_at(map, path, key);
}

Result<double> number_or(const YAML::Node& map, const std::string& path, const char* key,
                         double fallback, double max) {
  const YAML::Node node = map[key];
  if (!node) return fallback;
  double value = 0;
  if (!YAML::convert<double>::decode(node, value) || !(value >= 0 && value <= max))
    return bad(node, path + "." + key,
               "must be a number from 0 to " + std::to_string(static_cast<long>(max)));
  return value;
}

Result<int> int_or(const YAML::Node& map, const std::string& path, const char* key, int fallback,
                   int min, int max) {
  const YAML::Node node = map[key];
  if (!node) return fallback;
  int value = 0;
  if (!YAML::convert<int>::decode(node, value) || value < min || value > max)
    return bad(node, path + "." + key,
               "must be a whole number from " + std::to_string(min) + " to " + std::to_string(max));
  return value;
}

Result<YAML::Node> list_at(const YAML::Node& map, const std::string& path, const char* key,
                           std::size_t items_max) {
  const YAML::Node node = map[key];
  if (!node || node.IsNull()) return YAML::Node(YAML::NodeType::Sequence);
  if (!node.IsSequence()) return bad(node, path + key, "must be a list");
  if (node.size() > items_max)
    return fail(Code::kLimit, "line " + std::to_string(node.Mark().line + 1) + ", " + path + key +
                                  ": " + std::to_string(node.size()) + " entries, at most " +
                                  std::to_string(items_max) + " are allowed");
  return node;
}

std::string item_path(const std::string& list, std::size_t index) {
  return list + "[" + std::to_string(index) + "]";
}

}  // namespace icon::lab
