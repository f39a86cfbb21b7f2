#include "agent/policy_yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <sstream>

namespace icon::agent {
namespace {

struct DocumentCounter final : YAML::EventHandler {
  void OnDocumentStart(const YAML::Mark& mark) override {
    ++count.documents;
    count.last_line = mark.line + 1;
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

  DocumentCount count;
};

}  // namespace

// Not YAML::LoadAll: after a stray ']' it finds empty documents without end (yaml-cpp 0.7).
DocumentCount count_documents(const std::string& yaml) {
  DocumentCounter counter;
  std::istringstream stream(yaml);
  YAML::Parser parser(stream);
  while (counter.count.documents < 2 && parser.HandleNextDocument(counter)) {
  }
  return counter.count;
}

std::string_view nearest_key(std::string_view key, const std::vector<std::string_view>& known) {
  std::string_view best;
  std::size_t best_distance = 3;  // more than two edits is another word
  for (const auto candidate : known) {
    if (key.size() > 64) break;
    std::vector<std::size_t> row(candidate.size() + 1);
    for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= key.size(); ++i) {
      std::size_t diagonal = row[0]++;
      for (std::size_t j = 1; j < row.size(); ++j) {
        const std::size_t replaced = diagonal + (key[i - 1] == candidate[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

}  // namespace icon::agent
