#include "budget/residency.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace icon::budget {
namespace {

std::optional<std::string> check(const std::vector<std::string>& allowed, const std::string& claim,
                                 std::string_view what) {
  if (allowed.empty()) return std::nullopt;
  if (claim.empty())
    return fmt::format("it does not say its {}, and the policy wants {}", what,
                       fmt::join(allowed, " or "));
  if (std::find(allowed.begin(), allowed.end(), claim) != allowed.end()) return std::nullopt;
  return fmt::format("its {} is {}, and the policy wants {}", what, claim,
                     fmt::join(allowed, " or "));
}

}  // namespace

std::optional<std::string> Residency::refusal(const wire::Offer& offer) const {
  if (auto refused = check(countries, offer.country, "country")) return refused;
  return check(kinds, offer.kind, "kind");
}

}  // namespace icon::budget
