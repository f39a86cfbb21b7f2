// Where a lease stands, by the clock alone: both sides come to the same end without a word from
// the other. Pure.
#pragma once

#include "wire/tenancy.h"

namespace icon::budget::lease {

enum class Phase {
  kReserved,  // the slot is locked, nothing is owed; the ICON may confirm
  kLapsed,    // nobody confirmed: the slot is free, the hold may be released
  kWaiting,   // confirmed, its time has not come
  kRunning,   // a renewal may be asked for
  kLastTerm,  // too late for a renewal: find another slot, or end
  kGrace,     // its time is over: whatever still runs is stopped
  kOver,      // the slot is cleared
};

struct Times {
  bool confirmed = false;
  UtcMillis confirm_until_ms = 0;
  UtcMillis start_ms = 0;
  UtcMillis expires_ms = 0;  // with all renewals
  std::int64_t renew_before_ms = 0;
  std::int64_t grace_ms = 0;
};

Phase phase_of(const Times& times, UtcMillis now_ms);

// That `confirmation` is the bidder's, for this reservation, in time. The reservation's own
// signature is checked too. Errors: kUnauthenticated, kExpired, kInvalid.
Status check_confirmation(const wire::Envelope& reservation, const wire::Envelope& confirmation,
                          UtcMillis now_ms);

// The provider's yes to a renewal of `times`: signed by the lease's ICON, in time, the next one.
// Returns the new end. Errors: kUnauthenticated, kExpired (too late), kConflict (not the next one),
// kInvalid.
struct Party {
  PublicKey provider;
  PublicKey icon;
  std::string lease_id;
  std::int64_t renewals = 0;  // so far
};
Result<UtcMillis> check_renewal(const Party& party, const Times& times,
                                const wire::Envelope& renewal, UtcMillis now_ms);

}  // namespace icon::budget::lease
