// What the two halves of the market share: market.cc sells, market_tenancy.cc metes out time.
#pragma once

#include <string>
#include <vector>

#include "budget/lease/bill.h"
#include "supervisor/journal.h"

namespace icon::supervisor {

inline constexpr std::size_t kLeaseIdBytes = 16;

// A lease as its documents in the journal tell it.
struct Papers {
  std::vector<budget::lease::Segment> segments;
  UtcMillis expires_ms = 0;
  std::int64_t renewals = 0;
  std::int64_t usages = 0;
  UtcMillis metered_from_ms = 0;
  UtcMillis metered_to_ms = 0;
  std::string previous;  // digest that the next usage names
};
// Errors: kInvalid (the journal is damaged).
Result<Papers> papers_of(const LeaseRecord& record);

inline bool holds_capacity(const LeaseRecord& lease) {
  return lease.role == "sold" &&
         (lease.state == "reserved" || lease.state == "held" || lease.state == "active");
}
inline std::string presented_key(const std::string& lease_id) {
  return "lease_presented/" + lease_id;
}
inline std::string active_since_key(const std::string& lease_id) {
  return "lease_active_ms/" + lease_id;
}

}  // namespace icon::supervisor
