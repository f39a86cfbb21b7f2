// Where an ICON may live, as far as providers say and sign it. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "wire/documents.h"

namespace icon::budget {

struct Residency {
  std::vector<std::string> countries;  // empty: any
  std::vector<std::string> kinds;      // empty: any

  bool anywhere() const { return countries.empty() && kinds.empty(); }
  // Why this provider is refused, as a sentence; nullopt: it is not. Who claims nothing is.
  std::optional<std::string> refusal(const wire::Offer& offer) const;
};

}  // namespace icon::budget
