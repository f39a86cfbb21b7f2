// Reads a policy document and collects every problem in it. Internal to the policy's reader:
// policy.h is the way in.
#pragma once

#include <yaml-cpp/yaml.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/policy.h"

namespace icon::agent {

inline constexpr std::int64_t kUsPerMs = 1'000;
inline constexpr std::int64_t kUsPerSecond = 1'000'000;
inline constexpr std::int64_t kUsPerHour = 3'600 * kUsPerSecond;
inline constexpr std::int64_t kUsPerYear = 366 * 24 * kUsPerHour;

// A member per key; the tables at the end say which key goes where, so that an unknown one can
// name those that exist.
class PolicyReader {
 public:
  PolicyReading read(std::string_view yaml);

 private:
  using Handler = std::function<void(const YAML::Node&, const std::string& key)>;
  using Table = std::vector<std::pair<std::string_view, Handler>>;

  void problem(const YAML::Node& node, const std::string& key, std::string message,
               std::string hint) {
    int line = node.Mark().is_null() ? 0 : node.Mark().line + 1;
    // YAML sees a missing value where the next line begins.
    if (const auto found = lines_.find(key); node.IsNull() && found != lines_.end())
      line = found->second;
    problem_at(line, key, std::move(message), std::move(hint));
  }
  void problem_at(int line, const std::string& key, std::string message, std::string hint) {
    if (problems_.size() < kPolicyProblemsMax)
      problems_.push_back({line, key, std::move(message), std::move(hint)});
  }

  // Walks a map: unknown and repeated keys are problems, each known one goes to its handler.
  void map(const YAML::Node& node, const std::string& path, const Table& table);
  void list(const YAML::Node& node, const std::string& key, std::size_t items_max,
            const Handler& item);
  std::optional<std::string> text(const YAML::Node& node, const std::string& key,
                                  std::string_view hint);

  Handler duration(std::int64_t& out, std::int64_t unit_us, std::int64_t min_us,
                   std::int64_t max_us, std::string example);
  Handler integer(std::int64_t& out, std::int64_t min, std::int64_t max);
  Handler flag(bool& out);
  Handler credits(std::function<void(wire::MicroCredits)> store);
  Handler quantity(std::int64_t& out, Result<std::int64_t> (*parse)(std::string_view),
                   std::int64_t max, std::string example);
  Handler name(std::string& out);
  Handler patterns(std::vector<std::string>& out);
  void redirect(const YAML::Node& node, const std::string& key);
  void replicate(const YAML::Node& node, const std::string& key);
  void cpu(const YAML::Node& node, const std::string& key);
  void port(const YAML::Node& node, const std::string& key);
  void provider(const YAML::Node& node, const std::string& key);
  void latency(const YAML::Node& node, const std::string& key);
  void slot(const YAML::Node& node, const std::string& key);
  void dns(const YAML::Node& node, const std::string& key);
  void dns_update(const YAML::Node& node, const std::string& key);
  Handler domain(std::string& out);
  void sources(const YAML::Node& node, const std::string& key);
  void promise(const YAML::Node& node, const std::string& key);
  void residency(const YAML::Node& node, const std::string& key);
  Handler words(std::vector<std::string>& out, bool (*fits)(std::string_view), const char* hint);
  void root(const YAML::Node& node);
  void contradictions();

  Policy policy_;
  std::vector<PolicyProblem> problems_;
  std::map<std::string, int> lines_;  // of each key, for what only shows at the end
};

}  // namespace icon::agent
