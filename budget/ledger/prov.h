// A ledger as W3C PROV-JSON (https://www.w3.org/Submission/prov-json/), and the PROV constraints
// that we promise. Pure.
#pragma once

#include <span>

#include "base/json.h"
#include "wire/ledger.h"

namespace icon::budget::ledger {

// Life events become activities, associated with who did and signed them; states, checkpoints,
// hosts and documents become entities; documents are attributed to their signers.
json::Object to_prov(std::span<const wire::LedgerEntry> entries);

// Of any PROV-JSON of the shape that to_prov writes: whatever is named exists; an activity has an
// agent and does not end before it starts; an entity is made once, used only after it was made, and
// not after it was ended; nothing derives from itself, by however many steps. Errors: kInvalid.
Status check_prov(const json::Object& prov);

}  // namespace icon::budget::ledger
