// A lease as the signed documents that it left, and whether its bill is right. Pure.
#pragma once

#include <vector>

#include "budget/lease/bill.h"

namespace icon::budget::lease {

inline constexpr std::size_t kRecordDocumentsMax = 100'000;
inline constexpr std::size_t kRenewalsMax = 1'000;

struct Account {
  std::string lease_id;
  PublicKey provider;
  PublicKey icon;
  UtcMillis start_ms = 0;
  UtcMillis expires_ms = 0;  // with all renewals
  std::int64_t renewals = 0;
  std::int64_t usages = 0;
  std::int64_t used_seconds = 0;
  std::int64_t metered_ms = 0;
  MicroCredits price = 0;
  MicroCredits charged = 0;
  MicroCredits refunded = 0;  // by the receipt
  MicroCredits penalty = 0;   // owed by the provider, and granted
  bool closed = false;        // there is a receipt
  std::string wrong;          // the first thing that is; empty: the bill is right
};

// One account per lease, by id. Other documents (offers, orders) are passed over; signatures of all
// that count are checked. A lease whose bill is wrong is an account that says so, not an error.
// Errors: kUnauthenticated, kInvalid (a forged or malformed document, one without its lease, two
// leases of one id), kLimit.
Result<std::vector<Account>> accounts_of(const std::vector<wire::Envelope>& documents);

}  // namespace icon::budget::lease
