// An envelope that parses can be sent on unchanged, and nobody's signature fits a fuzzer's bytes.
#include <boost/json/serialize.hpp>

#include "tests/fuzz/fuzz_target.h"
#include "wire/envelope.h"

namespace icon::wire {

ICON_FUZZ_TARGET(envelope) {
  const auto envelope = parse_envelope(input);
  if (!envelope) return;
  const auto text = boost::json::serialize(envelope->to_json());
  const auto again = parse_envelope(text);
  ICON_FUZZ_REQUIRE(again.has_value());
  ICON_FUZZ_REQUIRE(again->digest() == envelope->digest());
  ICON_FUZZ_REQUIRE(again->signer == envelope->signer);
  ICON_FUZZ_REQUIRE(again->signature == envelope->signature);
  ICON_FUZZ_REQUIRE(verify(*again, envelope->type).has_value() ==
                    verify(*envelope, envelope->type).has_value());
  const auto no_type = envelope->type + "x";
  ICON_FUZZ_REQUIRE(!verify(*envelope, no_type));
}

}  // namespace icon::wire
