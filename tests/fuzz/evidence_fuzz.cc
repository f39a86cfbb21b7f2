// Evidence that reads is written back the same, and its sentences are fit for a terminal.
#include "budget/evidence.h"
#include "budget/explain.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon::budget {

ICON_FUZZ_TARGET(evidence) {
  const auto object = json::parse_object(input, kEvidenceBytesMax);
  if (!object) return;
  const auto lines = render_evidence(*object);
  ICON_FUZZ_REQUIRE(!lines.empty());
  for (const auto& line : lines)
    for (const char c : line) ICON_FUZZ_REQUIRE(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  const auto evidence = Evidence::from_json(*object);
  if (!evidence) return;
  const auto again = Evidence::from_json(evidence->to_json());
  ICON_FUZZ_REQUIRE(again.has_value());
  ICON_FUZZ_REQUIRE(*json::canonical(again->to_json()) == *json::canonical(evidence->to_json()));
}

}  // namespace icon::budget
