// An auction as the signed documents that it left, and what follows from them. The auctioneer uses
// the same function to conclude it as everybody else to check it. Pure.
#pragma once

#include <optional>
#include <vector>

#include "budget/auction/clearing.h"
#include "wire/auction.h"

namespace icon::budget::auction {

inline constexpr std::size_t kRecordDocumentsMax = 3 * wire::kAuctionPartiesMax + 3;

struct Conclusion {
  wire::AuctionCall call;
  wire::AuctionClose close;
  Seed seed{};
  std::int64_t commits = 0;
  std::int64_t bids = 0;  // revealed in time
  Clearing clearing;
  std::optional<wire::AuctionOutcome> outcome;  // as signed; equal to what the documents give
};

// The seed: of the secret that the call promised, the call, and all commits. No party knows the
// secret when it commits, the auctioneer does not know the commits when it promises: neither can
// choose. Only the auctioneer and the last party together could.
std::string seed_commitment(const Seed& secret);
Seed seed_of(const std::string& call_digest, const std::string& commits_digest, const Seed& secret);

// Of the commits that came in time; two by one party are refused.
// Errors: kConflict, kLimit, kExpired (a commit too late), kUnauthenticated, kInvalid.
Result<wire::Envelope> close_auction(const KeyPair& auctioneer, const wire::Envelope& call,
                                     const std::vector<wire::Envelope>& commits, const Seed& secret,
                                     UtcMillis now_ms);

// Everything that the documents prove, whatever their order; repeated ones count once. A bid
// counts when the auctioneer acknowledged it in time, and every acknowledged bid must be there: add
// your own acknowledgement and bid to the record to see that they were counted.
// Errors: kUnauthenticated, kInvalid (a document is missing, unexpected or contradicts others, or
// the signed outcome is not what follows), kConflict, kLimit.
Result<Conclusion> conclude(const std::vector<wire::Envelope>& documents);

// The signed outcome of documents that do not hold one yet. Before the reveals' end only when
// everybody has revealed. Errors: as conclude; kConflict (too early, or there is one), kExpired.
Result<wire::Envelope> settle_auction(const KeyPair& auctioneer,
                                      const std::vector<wire::Envelope>& documents,
                                      UtcMillis now_ms);

}  // namespace icon::budget::auction
