// A double auction of like slots, each buyer wanting one and each seller having one: SBBA (Segal-
// Halevi, Hassidim, Aumann, "SBBA: a Strongly-Budget-Balanced Double-Auction Mechanism", 2016,
// arXiv 1607.05139). One price for all; what the buyers pay is what the sellers get.
//
// Buyers by falling, sellers by rising price; k is the last rank at which the buyer's price is not
// below the seller's. The price is the lower of the k-th buyer's and the (k+1)-th seller's.
//   It is the (k+1)-th seller's: k pairs trade.
//   It is the k-th buyer's:      that buyer and one of the first k sellers, drawn by lot, do not.
// Truthful for every outcome of the lot, because whom it hits depends on who the first k sellers
// are and not on what they asked.
#pragma once

#include "budget/auction/order.h"

namespace icon::budget::auction {

struct DoubleClearing {
  MicroCredits price = 0;             // 0 when nobody trades
  std::vector<std::uint32_t> buyers;  // indices; as many as sellers: the i-th trades with the i-th
  std::vector<std::uint32_t> sellers;
};

DoubleClearing clear_double(std::span<const Order> buyers, std::span<const Order> sellers);

// The most that trade could gain, of everybody's prices taken as the truth: sum of buyers' prices
// less sum of sellers' over the first k pairs. Saturates. For comparison only.
MicroCredits gain_possible(std::span<const Order> buyers, std::span<const Order> sellers);
MicroCredits gain_reached(std::span<const Order> buyers, std::span<const Order> sellers,
                          const DoubleClearing& clearing);

}  // namespace icon::budget::auction
