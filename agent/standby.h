// Whether an ICON may be prepared for at another host of its host's owner. Its policy says so;
// nothing is bought, and nobody is moved by it. Pure.
#pragma once

#include "agent/policy.h"
#include "agent/supervisor_link.h"
#include "base/clock.h"
#include "base/keys.h"
#include "base/result.h"
#include "wire/envelope.h"

namespace icon::agent {

// A signed wire::StandbyOrder. Errors: kRefused (the policy does not let that host in).
Result<wire::Envelope> consent_to_standby(const KeyPair& key, const Self& self,
                                          const Policy& policy, const StandbyQuestion& question,
                                          UtcMillis now_ms);

}  // namespace icon::agent
