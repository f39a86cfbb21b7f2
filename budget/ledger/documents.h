// Any document that a ledger may hold, checked as its own kind. Pure.
#pragma once

#include "wire/envelope.h"

namespace icon::budget::ledger {

// Signature, and for the kinds that this version knows every field and the right signer; of other
// kinds the signature. Errors: kUnauthenticated, kInvalid.
Status check_document(const wire::Envelope& document);

}  // namespace icon::budget::ledger
