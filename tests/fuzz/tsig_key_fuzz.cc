// A file with a TSIG key, whatever is in it: a key that ldns can take and nothing else, and no
// message tells what was in the file.
#include <algorithm>
#include <string>

#include "agent/dns_plan.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon::agent {

ICON_FUZZ_TARGET(tsig_key) {
  const auto key = parse_tsig_key(input);
  if (!key) {
    ICON_FUZZ_REQUIRE(key.error().code == Code::kInvalid);
    // Of the fixed ones, whatever the file holds.
    const auto& message = key.error().message;
    ICON_FUZZ_REQUIRE(message.starts_with("the key") && message.size() < 80);
    return;
  }
  ICON_FUZZ_REQUIRE(key->algorithm.starts_with("hmac-sha") && key->algorithm.ends_with('.'));
  ICON_FUZZ_REQUIRE(key->name.ends_with('.') && key->name.size() <= 254);
  ICON_FUZZ_REQUIRE(is_domain_name(key->name.substr(0, key->name.size() - 1)));
  ICON_FUZZ_REQUIRE(!key->secret.empty() && key->secret.size() % 4 == 0);
  // What was read can be written and read again, in every way to write it.
  for (const char* before : {"", "# a comment\n\n"}) {
    const auto line = std::string(before) + key->algorithm.substr(0, key->algorithm.size() - 1) +
                      ":" + key->name + ":" + key->secret + " \r\n";
    const auto again = parse_tsig_key(line);
    ICON_FUZZ_REQUIRE(again.has_value());
    ICON_FUZZ_REQUIRE(again->algorithm == key->algorithm && again->name == key->name &&
                      again->secret == key->secret);
  }
}

}  // namespace icon::agent
