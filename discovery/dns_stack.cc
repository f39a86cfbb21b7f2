#include "discovery/dns_stack.h"

#include <utility>

namespace icon::discovery {

Result<std::unique_ptr<DnsStack>> DnsStack::create(IoContext& loop, const Clock& clock,
                                                   DnsOptions options) {
  options.validator.servers = options.resolver.servers;
  ICON_TRY(auto network, make_cares_resolver(loop, std::move(options.resolver)));
  std::unique_ptr<DnsStack> stack(new DnsStack(std::move(network), clock, options.cache));
  if (options.validate) {
    ICON_TRY(stack->proof_,
             make_validating_resolver(loop, stack->cache_, std::move(options.validator)));
  }
  return stack;
}

void DnsStack::start_budget(Millis budget) {
  cache_.start_budget(budget);
  if (proof_) proof_->start_budget(budget);
}

void DnsStack::close() {
  if (proof_) proof_->close();
  cache_.close();
}

}  // namespace icon::discovery
