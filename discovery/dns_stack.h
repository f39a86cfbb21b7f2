// The DNS as discovery uses it: servers, a cache before them, and proof beside it.
#pragma once

#include <memory>

#include "base/clock.h"
#include "discovery/resolver.h"
#include "discovery/validating_resolver.h"

namespace icon::discovery {

struct DnsOptions {
  ResolverOptions resolver;  // its servers are also those of the validator
  CacheLimits cache;
  bool validate = true;
  ValidatorOptions validator;
};

// A resolver with a cache; close() and start_budget() hold for the validator too.
// Loop thread only.
class DnsStack final : public Resolver {
 public:
  // `loop` and `clock` outlive the stack. Errors: as make_cares_resolver() and
  // make_validating_resolver().
  static Result<std::unique_ptr<DnsStack>> create(IoContext& loop, const Clock& clock,
                                                  DnsOptions options);

  Task<Result<Answer>> query(std::string name, RecordType type) override {
    return cache_.query(std::move(name), type);
  }
  void start_budget(Millis budget) override;
  void close() override;

  // Null when validation was not wanted.
  ValidatingResolver* proof() { return proof_.get(); }
  const NetworkResolver& network() const { return *network_; }

 private:
  DnsStack(std::unique_ptr<NetworkResolver> network, const Clock& clock, CacheLimits limits)
      : network_(std::move(network)), cache_(*network_, clock, limits) {}

  std::unique_ptr<NetworkResolver> network_;
  CachingResolver cache_;
  std::unique_ptr<ValidatingResolver> proof_;
};

}  // namespace icon::discovery
