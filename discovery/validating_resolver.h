// The DNS with proof: what leads to payment is checked here, in this process, down from a trust
// anchor. The word of a resolver on another host (its AD bit) proves nothing.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "discovery/resolver.h"

namespace icon::discovery {

struct ValidatorOptions {
  std::vector<std::string> servers{};  // as in ResolverOptions: they are asked for all signatures
  // DS or DNSKEY records, "example. DS 12345 13 2 AB12..."; empty: the root's.
  std::vector<std::string> anchors{};
  // What to do when the servers hand on no signatures of the anchored zone: false: answers are
  // taken as they come and marked unchecked; true: they are bogus.
  bool required = false;
  std::size_t in_flight_max = 64;  // beyond: kLimit
  Millis query_timeout{4'000};
};

// The keys of the DNS root, as IANA publishes them.
const std::vector<std::string>& root_anchors();

class ValidatingResolver : public Resolver {
 public:
  // Why answers are marked unchecked; empty when they are not. Known after the first query.
  virtual const std::string& unchecked_because() const = 0;
};

// Errors of query(), beside those of Resolver: kUnauthenticated when the signatures are wrong or
// missing (bogus); the message says why.
// `plain` is asked where nothing can be checked. It and `loop` outlive the resolver, close() of
// which leaves `plain` alone. Errors: kInvalid for servers and anchors that are none.
Result<std::unique_ptr<ValidatingResolver>> make_validating_resolver(IoContext& loop,
                                                                     Resolver& plain,
                                                                     ValidatorOptions options);

}  // namespace icon::discovery
