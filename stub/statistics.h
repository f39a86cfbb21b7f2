// What a redirector counts, for the supervisor's metrics.
#pragma once

#include <cstdint>

#include "base/json.h"
#include "base/result.h"

namespace icon::stub {

struct StubStatistics {
  std::uint64_t connections = 0;          // accepted, the refused ones too
  std::uint64_t connections_refused = 0;  // over a limit, closed at once
  std::uint64_t redirected = 0;           // answered 307
  std::uint64_t unavailable = 0;          // answered 503: no route, or its target is not known yet
  std::uint64_t rejected = 0;             // malformed, too large, too fast or too slow
  std::uint64_t open = 0;                 // connections right now

  json::Object to_json() const;
  static Result<StubStatistics> from_json(const json::Object& object);
};

}  // namespace icon::stub
