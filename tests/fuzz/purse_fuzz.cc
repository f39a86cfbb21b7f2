// Any log of entries: what is refused changes nothing, what is accepted keeps spent + held within
// the budget, and the same log gives the same purse.
#include "budget/purse/purse.h"
#include "tests/fuzz/byte_source.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon::budget {

ICON_FUZZ_TARGET(purse) {
  fuzz::ByteSource source(input);
  PurseState state;
  std::vector<PurseEntry> accepted;
  while (!source.empty()) {
    PurseEntry entry;
    // Nearly always the next one: the rest is refused at once.
    entry.sequence = source.byte() == 0 ? source.number() : state.sequence() + 1;
    entry.kind = static_cast<PurseEntry::Kind>(source.byte() % 10);
    entry.id = source.text(2);
    if (source.byte() % 2 == 0) entry.id += "/" + source.text(1);
    if (source.byte() % 4 == 0) entry.id += "/" + source.text(1);
    entry.amount = source.number();
    entry.expires_ms = source.number();
    const auto before = state;
    if (state.apply(entry)) {
      accepted.push_back(entry);
      ICON_FUZZ_REQUIRE(state.sequence() == before.sequence() + 1);
    } else {
      ICON_FUZZ_REQUIRE(state == before);
    }
    ICON_FUZZ_REQUIRE(state.spent() >= 0 && state.held() >= 0);
    ICON_FUZZ_REQUIRE(state.available() >= 0);
  }
  PurseState replayed;
  for (const auto& entry : accepted) ICON_FUZZ_REQUIRE(replayed.apply(entry).has_value());
  ICON_FUZZ_REQUIRE(replayed == state);
}

}  // namespace icon::budget
