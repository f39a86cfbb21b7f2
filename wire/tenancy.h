// From a locked slot to its last bill: what provider and ICON sign while a lease lives. The lease
// itself and its closing receipt are in documents.h.
#pragma once

#include <string>

#include "wire/documents.h"

namespace icon::wire {

// Provider -> ICON: your slot is locked until then; it is yours when you confirm. Nothing is owed.
struct Reservation {
  static constexpr std::string_view kType = "reservation";
  PublicKey provider;
  Envelope bid;  // the ICON's
  UtcMillis issued_ms = 0;
  UtcMillis confirm_until_ms = 0;

  json::Object to_json() const;
  static Result<Reservation> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return provider; }
};

// ICON -> provider: the money is held; give me the lease.
struct Confirmation {
  static constexpr std::string_view kType = "confirmation";
  PublicKey icon;
  std::string reservation_digest;
  UtcMillis issued_ms = 0;

  json::Object to_json() const;
  static Result<Confirmation> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return icon; }
};

// What the provider promises with a lease.
struct LeaseTerms {
  static constexpr std::string_view kType = "lease_terms";
  PublicKey provider;
  std::string lease_id;
  std::int64_t served_permille = 0;   // of the metered time; 0: no promise
  std::int64_t penalty_permille = 0;  // of the price of the time that is missing
  std::int64_t renew_before_ms = 0;   // a renewal must be asked for that long before the end
  std::int64_t grace_ms = 0;          // after the end, before the slot is cleared
  UtcMillis issued_ms = 0;
  // From the start on, for the ICON to present its first order here: after that, unused, the lease
  // may be ended, and nothing is owed. 0 (or no such field): not before its end.
  std::int64_t start_within_ms = 0;

  json::Object to_json() const;
  static Result<LeaseTerms> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return provider; }
};

// ICON -> provider: so much longer, at this price.
struct Renewal {
  static constexpr std::string_view kType = "renewal";
  PublicKey icon;
  PublicKey provider;
  std::string lease_id;
  std::int64_t sequence = 0;  // 1, 2, 3, ... of this lease
  std::int64_t seconds = 0;
  MicroCredits price_ucredits = 0;
  UtcMillis issued_ms = 0;
  UtcMillis expires_ms = 0;  // of this request

  json::Object to_json() const;
  static Result<Renewal> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return icon; }
};

// The provider's yes around the ICON's signed request, as a lease is around a bid.
struct RenewedLease {
  static constexpr std::string_view kType = "renewed_lease";
  PublicKey provider;
  Envelope renewal;
  UtcMillis issued_ms = 0;
  UtcMillis expires_ms = 0;  // the new end of the slot

  json::Object to_json() const;
  static Result<RenewedLease> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return provider; }
};

// A metered receipt: what was served from .. to, and what the lease has cost so far. Chained, so
// that none can be left out or replaced later.
struct Usage {
  static constexpr std::string_view kType = "usage";
  PublicKey provider;
  PublicKey icon;
  std::string lease_id;
  std::int64_t sequence = 0;  // 1, 2, 3, ...
  std::string previous;       // digest of the one before; of the first: the lease's
  UtcMillis from_ms = 0;
  UtcMillis to_ms = 0;
  std::int64_t served_ms = 0;  // of that time, the service had what it pays for
  std::int64_t cpu_ms = 0;     // processor time
  std::int64_t memory_bytes_max = 0;
  std::int64_t sent_bytes = 0;
  std::int64_t received_bytes = 0;
  MicroCredits total_ucredits = 0;
  UtcMillis issued_ms = 0;

  json::Object to_json() const;
  static Result<Usage> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return provider; }
};

// The provider owes this for time it did not serve.
struct Penalty {
  static constexpr std::string_view kType = "penalty";
  PublicKey provider;
  PublicKey icon;
  std::string lease_id;
  std::string usage_digest;  // of the last usage that it counts
  MicroCredits amount_ucredits = 0;
  UtcMillis issued_ms = 0;

  json::Object to_json() const;
  static Result<Penalty> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return provider; }
};

// ICON -> its own ledger and whoever asks: this bill is not right, and why. Proves nothing but what
// the ICON holds; the documents beside it do the proving.
struct Dispute {
  static constexpr std::string_view kType = "dispute";
  PublicKey icon;
  PublicKey provider;
  std::string lease_id;
  std::string document_digest;       // of the document that is contested
  std::string reason;                // a sentence
  std::int64_t charged_seconds = 0;  // that the provider counts,
  std::int64_t present_seconds = 0;  // and that the ICON was there, at most
  UtcMillis issued_ms = 0;

  json::Object to_json() const;
  static Result<Dispute> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return icon; }
};

}  // namespace icon::wire
