// Anybody's PROV-JSON: checked or refused, in time that its size bounds.
#include "budget/ledger/prov.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon::budget::ledger {

ICON_FUZZ_TARGET(prov) {
  const auto prov = json::parse_object(input, 64 << 10);
  if (!prov) return;
  const auto first = check_prov(*prov);
  const auto again = check_prov(*prov);
  ICON_FUZZ_REQUIRE(first.has_value() == again.has_value());
}

}  // namespace icon::budget::ledger
