// Providers that advertise themselves in a distributed hash table, under the networks that they
// want to be found for. Anybody may write anything there: only what its provider has signed counts.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/task.h"
#include "discovery/advertisement.h"
#include "discovery/provider_source.h"

namespace icon::discovery {

// Loop thread only. The table itself is another process: the agent has no room for it.
class DhtLookup {
 public:
  virtual ~DhtLookup() = default;
  // What stands under these keys, bounded by whoever answers. Errors: kUnavailable (no DHT here),
  // kTimeout, kIo.
  virtual Task<Result<std::vector<DhtValue>>> values(std::vector<std::string> keys) = 0;
};

struct DhtLimits {
  std::size_t keys_max = 64;     // in one run: the users' networks first
  std::size_t values_max = 256;  // looked at
  std::size_t providers_max = 128;
  std::size_t rejections_max = 64;
};

// Owner: the agent's survey. Loop thread only.
class DhtProviderSource final : public ProviderSource {
 public:
  // Both are borrowed.
  DhtProviderSource(DhtLookup& lookup, const Clock& clock, DhtLimits limits)
      : lookup_(lookup), clock_(clock), limits_(limits) {}
  Task<Findings> find(Surroundings around) override;

 private:
  DhtLookup& lookup_;
  const Clock& clock_;
  DhtLimits limits_;
};

}  // namespace icon::discovery
