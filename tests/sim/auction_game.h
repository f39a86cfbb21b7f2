// Plays random auctions and tries every misreport that could matter: nobody may gain by another
// price than the truth, nobody may lose by taking part, and what buyers pay is what sellers get.
// Used by the unit tests (some) and by bench/auction (100,000).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "budget/auction/order.h"

namespace icon::budget::auction {

struct Market {
  std::vector<Order> buyers;
  std::vector<Order> sellers;
};
// Prices in 0..price_max; places in the lottery as random as a seed's.
Market random_market(std::uint64_t seed, std::size_t buyers, std::size_t sellers,
                     MicroCredits price_max);

struct GameFindings {
  std::int64_t auctions = 0;
  std::int64_t misreports = 0;
  std::int64_t trades = 0;
  std::string failure;  // the first one, with its seed; empty when there is none
};
// Auctions `first_seed`, first_seed + 1, ...: half of them double, half sealed bids for k slots;
// up to `side_max` parties on a side.
GameFindings play(std::uint64_t first_seed, std::int64_t auctions, std::size_t side_max);

}  // namespace icon::budget::auction
