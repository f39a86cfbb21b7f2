// Puts what the agent logged, decided and what the supervisors recorded into plain words. Nothing
// is invented: every figure is out of the event it is told from, and nothing is told twice. Pure.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"
#include "lab/demo_result.h"

namespace icon::lab {

class DemoStory {
 public:
  // Names for people: a domain, an id or an address of a provider -> its host in the lab.
  explicit DemoStory(std::map<std::string, std::string> names) : names_(std::move(names)) {}

  // Each returns the new lines, in order. Objects that are not understood are passed over.
  // A line of the agent's log.
  std::vector<std::string> agent_event(const json::Object& event);
  // One of GET /v1/decisions.
  std::vector<std::string> decision(const json::Object& decision);
  // GET /v1/migrations/{id}.
  std::vector<std::string> migration(const json::Object& migration);
  // An ICON's `status` of GET /v1/icons.
  std::vector<std::string> status(const json::Object& status);

  // Everybody who was turned down, in the words of the last decision or answer.
  std::vector<RejectedProvider> rejected() const;

 private:
  std::string name_of(const std::string& key) const;
  std::string with_hosts(std::string message) const;
  std::vector<std::string> paths(const json::Object& discovery);
  void reject(const std::string& domain, const std::string& api, const std::string& reason,
              const std::string& message);

  std::map<std::string, std::string> names_;
  std::set<std::string> told_;
  std::map<std::string, RejectedProvider> rejected_;
};

}  // namespace icon::lab
