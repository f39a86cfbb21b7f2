// The best that anybody could have done who knew the whole day beforehand, with the same money and
// the same slots. Moves cost nothing there, and slots are bought by the hour.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "agent/policy.h"
#include "base/result.h"
#include "simulate/world.h"

namespace icon::simulate {

// Choices that are solved exactly; beyond, there is only a bound.
inline constexpr std::size_t kExactChoicesMax = 20'000;

struct Optimum {
  enum class Kind {
    kExact,     // an integer programme, solved to the end
    kRelaxed,   // its linear relaxation: no schedule can do better
    kUnscarce,  // a bound: every ICON for itself, as if every node had a slot for it
  };
  Kind kind = Kind::kUnscarce;
  wire::MicroCredits net = 0;              // worth less cost, of all ICONs over all hours
  std::optional<wire::MicroCredits> cost;  // of an exact one
};
std::string_view to_string(Optimum::Kind kind);

// Errors: kInternal: the solver gave up.
Result<Optimum> best_possible(const World& world, const agent::Policy& policy);
// The bound alone, for a world of any size.
wire::MicroCredits unscarce_bound(const World& world, const agent::Policy& policy);

}  // namespace icon::simulate
