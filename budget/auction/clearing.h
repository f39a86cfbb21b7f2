// The whole auction as a function: who trades with whom at which price, and who loses a deposit.
// The same call, seed and bids give the same bytes on every machine.
#pragma once

#include <span>
#include <vector>

#include "budget/auction/cell.h"
#include "budget/auction/order.h"

namespace icon::budget::auction {

struct Trade {
  PublicKey buyer;
  PublicKey seller;
  bool operator==(const Trade&) const = default;
};

// One cell of a double auction, or the slots of a single provider.
struct Cluster {
  wire::Resources resources;
  UtcMillis start_ms = 0;
  std::int64_t seconds = 0;
  std::int64_t buyers = 0;  // bids, not trades
  std::int64_t sellers = 0;
  MicroCredits price = 0;  // of each trade
  std::vector<Trade> trades;
  bool operator==(const Cluster&) const = default;
};

struct Payment {
  PublicKey party;
  MicroCredits amount = 0;
  bool operator==(const Payment&) const = default;
};

struct Clearing {
  std::vector<Cluster> clusters;
  std::vector<PublicKey> misfits;  // their bid fits nowhere: nothing lost, nothing won
  // Deposits of those who committed and kept silent, shared by those who did not: none goes to the
  // auctioneer, who could otherwise live on losing bids. Both sums are equal.
  std::vector<Payment> forfeits;
  std::vector<Payment> shares;

  std::size_t trades() const;
  json::Object to_json() const;
  // BLAKE2b-256 of the canonical JSON.
  std::string digest() const;
  bool operator==(const Clearing&) const = default;
};

// What lost deposits are to one party.
struct Deposits {
  MicroCredits owed = 0;  // it was silent
  MicroCredits due = 0;   // its share of those of others
};
Deposits deposits_of(const Clearing& clearing, const PublicKey& party);

// `revealed`: at most one per party. `silent`: who committed and did not reveal. In any order.
Clearing clear(const wire::AuctionCall& call, const Seed& seed,
               std::span<const wire::AuctionBid> revealed, std::vector<PublicKey> silent);

}  // namespace icon::budget::auction
