// Amounts and quantities are read exactly or refused.
#include "agent/policy.h"
#include "budget/money.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon {

ICON_FUZZ_TARGET(credits) {
  if (const auto amount = budget::parse_credits(input)) {
    ICON_FUZZ_REQUIRE(*amount >= 0 && *amount <= budget::kMicroCreditsMax);
    ICON_FUZZ_REQUIRE(*budget::parse_credits(budget::format_credits(*amount)) == *amount);
  }
  for (const auto parse :
       {agent::parse_duration_us, agent::parse_bytes, agent::parse_bandwidth_bps}) {
    const auto value = parse(input);
    ICON_FUZZ_REQUIRE(!value || *value >= 0);
  }
}

}  // namespace icon
