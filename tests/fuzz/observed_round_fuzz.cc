// Anybody's record of rounds: read into bounded numbers that survive writing, and
// decided on without a crash; or refused with a reason.
#include "agent/observed_round.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon::agent {

ICON_FUZZ_TARGET(observed_round) {
  const auto rounds = read_record(input);
  if (!rounds) {
    ICON_FUZZ_REQUIRE(!rounds.error().message.empty());
    return;
  }
  for (const auto& round : *rounds) {
    const auto object = observed_to_json(round);
    const auto again = observed_round(object);
    ICON_FUZZ_REQUIRE(again &&
                      *json::canonical(observed_to_json(*again)) == *json::canonical(object));
    (void)budget::decide(round.input, round.at_ms);
  }
}

}  // namespace icon::agent
