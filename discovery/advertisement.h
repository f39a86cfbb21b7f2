// A provider's word about itself (wire/advertisement.h) as it stands in a place that anybody may
// write to.
#pragma once

#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "discovery/provider.h"

namespace icon::discovery {

struct DhtValue {
  std::string key;    // "198.51.100.0/24"
  std::string value;  // a stranger's word
};

// Believed as far as it can be: signed by the provider that it is about, fresh, meant for `key`,
// with public addresses. Errors: kInvalid, kLimit, kUnauthenticated, kExpired. Pure.
Result<ProviderCandidate> read_advertisement(const DhtValue& value, UtcMillis now_ms);

}  // namespace icon::discovery
