// How the configuration's YAML is read: every key is taken once, and what nobody took is a mistake.
#pragma once

#include <yaml-cpp/yaml.h>

#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "base/result.h"

namespace icon::supervisor {

inline constexpr std::size_t kConfigTextBytesMax = 1024;

// One YAML map: hands its keys out and, at the end, complains about those nobody asked for.
class Section {
 public:
  // Errors: kInvalid when the node is no map, or a key stands twice.
  static Result<Section> of(const YAML::Node& node, std::string path) {
    if (!node.IsMap()) return fail(Code::kInvalid, where(node, path) + "must be a map of keys");
    std::set<std::string> keys;
    for (const auto& entry : node) {
      const std::string key = entry.first.Scalar();
      if (!keys.insert(key).second)
        return fail(Code::kInvalid, where(entry.first, join(path, key)) + "stands twice");
    }
    return Section(node, std::move(path), std::move(keys));
  }

  bool has(const std::string& key) const { return left_.count(key) > 0; }
  YAML::Node take(const std::string& key) {
    left_.erase(key);
    return node_[key];
  }
  std::string path_of(const std::string& key) const { return join(path_, key); }

  Status text(const std::string& key, std::string& value) {
    if (!has(key)) return {};
    const auto node = take(key);
    if (!node.IsScalar() || node.Scalar().size() > kConfigTextBytesMax)
      return fail(Code::kInvalid, where(node, path_of(key)) + "must be a short text");
    value = node.Scalar();
    return {};
  }

  Status number(const std::string& key, std::int64_t max, std::int64_t& value) {
    if (!has(key)) return {};
    const auto node = take(key);
    std::int64_t number = 0;
    if (!node.IsScalar() || !YAML::convert<std::int64_t>::decode(node, number) || number < 0 ||
        number > max)
      return fail(Code::kInvalid, where(node, path_of(key)) + "must be a whole number from 0 to " +
                                      std::to_string(max));
    value = number;
    return {};
  }

  Status boolean(const std::string& key, bool& value) {
    if (!has(key)) return {};
    const auto node = take(key);
    if (!node.IsScalar() || !YAML::convert<bool>::decode(node, value))
      return fail(Code::kInvalid, where(node, path_of(key)) + "must be true or false");
    return {};
  }

  // `parse` reads a text; its error gets the key's place in front.
  template <class T, class Parse>
  Status parsed(const std::string& key, T& value, Parse parse) {
    if (!has(key)) return {};
    const auto node = take(key);
    if (!node.IsScalar() || node.Scalar().size() > kConfigTextBytesMax)
      return fail(Code::kInvalid, where(node, path_of(key)) + "must be a short text");
    auto result = parse(node.Scalar());
    if (!result) return fail(Code::kInvalid, where(node, path_of(key)) + result.error().message);
    value = std::move(*result);
    return {};
  }

  Status finish() const {
    if (left_.empty()) return {};
    const std::string& key = *left_.begin();
    return fail(Code::kInvalid, where(node_, path_of(key)) + "no such key; check its spelling");
  }

  Status require(const std::string& key) const {
    if (has(key)) return {};
    return fail(Code::kInvalid, where(node_, path_of(key)) + "is missing");
  }

  static std::string where(const YAML::Node& node, const std::string& path) {
    return "line " + std::to_string(node.Mark().line + 1) + ", '" + path + "': ";
  }

 private:
  Section(const YAML::Node& node, std::string path, std::set<std::string> keys)
      : node_(node), path_(std::move(path)), left_(std::move(keys)) {}
  static std::string join(const std::string& path, const std::string& key) {
    return path.empty() ? key : path + "." + key;
  }

  YAML::Node node_;
  std::string path_;
  std::set<std::string> left_;
};

}  // namespace icon::supervisor
