// The documents of an auction: call, bid, commit, close, acknowledgement, outcome. Bids stay sealed
// until the close has fixed who takes part and the seed of the lottery; whoever holds the documents
// can compute the outcome again (budget/auction/record.h).
#pragma once

#include <cstdint>
#include <string>

#include "wire/documents.h"

namespace icon::wire {

inline constexpr std::int64_t kAuctionSlotsMax = 100'000;
inline constexpr std::int64_t kAuctionPartiesMax = 100'000;
// So that the deposits of all parties together are an amount.
inline constexpr MicroCredits kAuctionDepositMax = kMicroCreditsMax / kAuctionPartiesMax;

// Who calls, what is sold and by which rule, until when. Signed by whoever conducts the auction.
struct AuctionCall {
  static constexpr std::string_view kType = "auction_call";
  enum class Rule {
    kUniform,  // `slots` like slots of the auctioneer, (k+1)-th price
    kDouble,   // many sellers, many buyers: SBBA in each cell of the grid
  };
  PublicKey auctioneer;
  std::string nonce;
  Rule rule = Rule::kUniform;
  // kUniform: the slot on sale. kDouble: the grid's unit; `slot_seconds` the length of a window.
  Resources resources;
  std::int64_t slot_seconds = 0;
  UtcMillis start_ms = 0;             // kUniform: of the slot
  std::int64_t slots = 0;             // kUniform only
  MicroCredits reserve_ucredits = 0;  // kUniform only: no bid below it wins
  MicroCredits deposit_ucredits = 0;  // lost by who commits and does not reveal
  std::string seed_commitment;        // BLAKE2b-256 of the auctioneer's part of the seed
  UtcMillis issued_ms = 0;
  UtcMillis commit_until_ms = 0;
  UtcMillis reveal_until_ms = 0;
  UtcMillis expires_ms = 0;  // without an outcome by then the auction is void

  json::Object to_json() const;
  static Result<AuctionCall> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return auctioneer; }
};

// What somebody wants or has, and what it is worth to them. Kept secret until the close; its nonce
// keeps its digest from being guessed.
struct AuctionBid {
  static constexpr std::string_view kType = "auction_bid";
  enum class Side { kBuy, kSell };
  std::string auction;  // digest of the call
  PublicKey party;
  Side side = Side::kBuy;
  Resources resources;  // needed, or on sale
  UtcMillis start_ms = 0;
  std::int64_t slot_seconds = 0;
  MicroCredits price_ucredits = 0;  // a buyer's most, a seller's least
  std::string nonce;

  json::Object to_json() const;
  static Result<AuctionBid> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return party; }
};

// "I have a bid with this digest, and owe the deposit if I do not show it in time."
struct AuctionCommit {
  static constexpr std::string_view kType = "auction_commit";
  std::string auction;
  PublicKey party;
  std::string bid_digest;
  UtcMillis issued_ms = 0;

  json::Object to_json() const;
  static Result<AuctionCommit> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return party; }
};

// Nobody else takes part; from here on the seed is known and cannot change.
struct AuctionClose {
  static constexpr std::string_view kType = "auction_close";
  std::string auction;
  PublicKey auctioneer;
  std::string commits_digest;  // BLAKE2b-256 of the commits' digests, sorted, a newline after each
  std::int64_t commits = 0;
  std::string seed_secret;  // hex; what seed_commitment promised
  UtcMillis issued_ms = 0;

  json::Object to_json() const;
  static Result<AuctionClose> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return auctioneer; }
};

// The auctioneer has that bid: with this in hand nobody can be said not to have revealed.
struct AuctionAck {
  static constexpr std::string_view kType = "auction_ack";
  std::string auction;
  PublicKey auctioneer;
  std::string bid_digest;
  UtcMillis received_ms = 0;

  json::Object to_json() const;
  static Result<AuctionAck> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return auctioneer; }
};

struct AuctionOutcome {
  static constexpr std::string_view kType = "auction_outcome";
  std::string auction;
  PublicKey auctioneer;
  std::string close_digest;
  std::string clearing_digest;  // BLAKE2b-256 of the clearing's canonical JSON
  std::int64_t trades = 0;
  UtcMillis issued_ms = 0;

  json::Object to_json() const;
  static Result<AuctionOutcome> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return auctioneer; }
};

}  // namespace icon::wire
