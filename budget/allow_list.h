// Which providers a policy lets in. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "budget/offer_check.h"

namespace icon::budget {

// '*' stands for any characters, '?' for one; letters match in either case. Linear memory, at most
// |pattern| * |text| steps.
bool glob_match(std::string_view pattern, std::string_view text);

struct ProviderNames {
  std::string name;    // what the provider calls itself
  std::string domain;  // where it was found
  std::string id;      // its key: the only one that cannot be chosen freely
  bool configured = false;
};

// Deny wins over allow; an empty allow list lets everyone in. A stranger chooses its own name, so
// `allow` looks at the name of configured providers only, and at everyone's domain and id; `deny`
// looks at all three.
struct AllowList {
  std::vector<std::string> allow;
  std::vector<std::string> deny;

  // nullopt: let in. Codes: denied, not_allowed.
  std::optional<Rejection> check(const ProviderNames& provider) const;
};

}  // namespace icon::budget
