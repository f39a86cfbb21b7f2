// One standby that this host keeps, as the parts of GivenStandbys see it. Nobody else includes it.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "base/keys.h"
#include "supervisor/continuity/given_standbys.h"
#include "supervisor/journal.h"
#include "wire/continuity.h"

namespace icon::supervisor {

struct GivenStandbys::Standby {
  wire::StandbyOrder order;
  wire::ContinuityProposal terms;  // of the contract under which it is kept
  PublicKey holder;
  IconRecord icon;
  SteadyTime since{};
  UtcMillis expires_ms = 0;
  std::int64_t staged_bytes = 0;  // grows while they come
  bool has_layer = false;
  bool busy = false;
};

}  // namespace icon::supervisor
