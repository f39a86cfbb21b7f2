// The reading of values: what a policy's sections (policy_reader.cc) have in common.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "agent/dns_plan.h"
#include "agent/policy_reader.h"
#include "agent/policy_yaml.h"

namespace icon::agent {
namespace {

constexpr std::size_t kPatternBytesMax = 255;

}  // namespace

void PolicyReader::map(const YAML::Node& node, const std::string& path, const Table& table) {
  const std::string where = path.empty() ? "the policy" : path;
  if (!node.IsMap()) {
    problem(node, path, where + " must be a map of keys and values", "Write 'key: value' lines.");
    return;
  }
  std::vector<std::string_view> known;
  for (const auto& [key, handler] : table) known.push_back(key);
  std::set<std::string> seen;
  for (const auto& entry : node) {
    if (problems_.size() >= kPolicyProblemsMax) return;
    if (!entry.first.IsScalar()) {
      problem(entry.first, path, "a key must be plain text", "Write 'key: value'.");
      continue;
    }
    const std::string key = entry.first.Scalar().substr(0, 64);
    const std::string full = path.empty() ? key : path + "." + key;
    const auto found =
        std::find_if(table.begin(), table.end(), [&](const auto& row) { return row.first == key; });
    if (found == table.end()) {
      const auto guess = nearest_key(key, known);
      problem(entry.first, full, "unknown key",
              guess.empty() ? fmt::format("Known here: {}.", fmt::join(known, ", "))
                            : fmt::format("Did you mean '{}'?", guess));
    } else if (!seen.insert(key).second) {
      problem(entry.first, full, "is given twice", "Keep one of them.");
    } else {
      lines_[full] = entry.first.Mark().line + 1;
      found->second(entry.second, full);
    }
  }
}

void PolicyReader::list(const YAML::Node& node, const std::string& key, std::size_t items_max,
                        const Handler& item) {
  if (!node.IsSequence()) {
    problem(node, key, "must be a list", fmt::format("Write '{}: [one, another]'.", key));
    return;
  }
  if (node.size() > items_max) {
    problem(node, key, fmt::format("has more than {} entries", items_max), "Shorten the list.");
    return;
  }
  std::size_t index = 0;
  for (const auto& entry : node) item(entry, fmt::format("{}[{}]", key, index++));
}

std::optional<std::string> PolicyReader::text(const YAML::Node& node, const std::string& key,
                                              std::string_view hint) {
  if (node.IsScalar() && !node.Scalar().empty()) return node.Scalar();
  problem(node, key, "has no value", std::string(hint));
  return std::nullopt;
}

PolicyReader::Handler PolicyReader::duration(std::int64_t& out, std::int64_t unit_us,
                                             std::int64_t min_us, std::int64_t max_us,
                                             std::string example) {
  return [this, &out, unit_us, min_us, max_us, example](const auto& node, const auto& key) {
    const auto hint =
        fmt::format("Write a number and a unit (us, ms, s, m, h, d), like {}.", example);
    const auto value = text(node, key, hint);
    if (!value) return;
    const auto us = parse_duration_us(*value);
    if (!us)
      problem(node, key, fmt::format("not a duration: '{}'", value->substr(0, 40)), hint);
    else if (*us < min_us || *us > max_us)
      problem(node, key, fmt::format("'{}' is out of range", value->substr(0, 40)),
              fmt::format("Between {} us and {} us, like {}.", min_us, max_us, example));
    else
      out = *us / unit_us;
  };
}

PolicyReader::Handler PolicyReader::flag(bool& out) {
  return [this, &out](const auto& node, const auto& key) {
    const char* hint = "Write true or false.";
    const auto value = text(node, key, hint);
    if (!value) return;
    if (*value == "true" || *value == "false")
      out = *value == "true";
    else
      problem(node, key, fmt::format("'{}' does not do", value->substr(0, 40)), hint);
  };
}

PolicyReader::Handler PolicyReader::integer(std::int64_t& out, std::int64_t min, std::int64_t max) {
  return [this, &out, min, max](const auto& node, const auto& key) {
    const auto hint = fmt::format("Write a whole number from {} to {}.", min, max);
    const auto value = text(node, key, hint);
    if (!value) return;
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), number);
    if (error != std::errc() || end != value->data() + value->size() || number < min ||
        number > max)
      problem(node, key, fmt::format("'{}' does not do", value->substr(0, 40)), hint);
    else
      out = number;
  };
}

PolicyReader::Handler PolicyReader::credits(std::function<void(wire::MicroCredits)> store) {
  return [this, store = std::move(store)](const auto& node, const auto& key) {
    const char* hint = "Write credits with at most six decimals, like 1.25.";
    const auto value = text(node, key, hint);
    if (!value) return;
    if (const auto amount = budget::parse_credits(*value))
      store(*amount);
    else
      problem(node, key, amount.error().message, hint);
  };
}

PolicyReader::Handler PolicyReader::quantity(std::int64_t& out,
                                             Result<std::int64_t> (*parse)(std::string_view),
                                             std::int64_t max, std::string example) {
  return [this, &out, parse, max, example](const auto& node, const auto& key) {
    const auto hint = fmt::format("Write it like {}.", example);
    const auto value = text(node, key, hint);
    if (!value) return;
    const auto amount = parse(*value);
    if (!amount)
      problem(node, key, amount.error().message, hint);
    else if (*amount > max)
      problem(node, key, fmt::format("'{}' is too much", value->substr(0, 40)),
              fmt::format("At most {}.", max));
    else
      out = *amount;
  };
}

PolicyReader::Handler PolicyReader::name(std::string& out) {
  return [this, &out](const auto& node, const auto& key) {
    const char* hint = "Up to 64 letters, digits, '-', '_' and '.'.";
    const auto value = text(node, key, hint);
    if (!value) return;
    const bool plain = std::all_of(value->begin(), value->end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '-' || c == '_' || c == '.';
    });
    if (!plain || value->size() > 64)
      problem(node, key, "is no name", hint);
    else
      out = *value;
  };
}

PolicyReader::Handler PolicyReader::patterns(std::vector<std::string>& out) {
  return [this, &out](const auto& node, const auto& key) {
    list(node, key, kPolicyListMax, [&](const YAML::Node& entry, const std::string& entry_key) {
      const char* hint = "A provider's domain, id or name; * and ? are wildcards.";
      const auto value = text(entry, entry_key, hint);
      if (!value) return;
      const bool printable =
          std::all_of(value->begin(), value->end(), [](char c) { return c > 0x20 && c < 0x7f; });
      if (!printable || value->size() > kPatternBytesMax)
        problem(entry, entry_key, "is no pattern", hint);
      else
        out.push_back(*value);
    });
  };
}

PolicyReader::Handler PolicyReader::domain(std::string& out) {
  return [this, &out](const auto& node, const auto& key) {
    const char* hint = "Write a name without a dot at its end, like www.example.com.";
    const auto value = text(node, key, hint);
    if (!value) return;
    if (is_domain_name(*value))
      out = *value;
    else
      problem(node, key, fmt::format("'{}' is no domain name", value->substr(0, 80)), hint);
  };
}

PolicyReader::Handler PolicyReader::words(std::vector<std::string>& out,
                                          bool (*fits)(std::string_view), const char* hint) {
  return [this, &out, fits, hint](const auto& node, const auto& key) {
    list(node, key, kPolicyListMax, [&](const YAML::Node& entry, const std::string& entry_key) {
      const auto value = text(entry, entry_key, hint);
      if (value && fits(*value))
        out.push_back(*value);
      else if (value)
        problem(entry, entry_key, fmt::format("'{}' does not do", value->substr(0, 40)), hint);
    });
  };
}

}  // namespace icon::agent
