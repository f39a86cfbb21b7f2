// What the clearing rules see of a bid: its price and its place in the lottery. Nothing else may
// decide who trades.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/keys.h"
#include "budget/money.h"

namespace icon::budget::auction {

using Seed = Digest;

struct Order {
  MicroCredits price = 0;   // a buyer's most, a seller's least
  std::uint64_t place = 0;  // lower is luckier; of a key and the seed, never of the price
  std::uint32_t tie = 0;    // distinct among the orders of one side; decides between equal places
};

// Whose place comes first is as good as random to whoever has not seen the seed.
std::uint64_t lottery_place(const Seed& seed, const PublicKey& party);

// Indices into `orders`, the dearest (or cheapest) first; equals by their luck.
std::vector<std::uint32_t> dearest_first(std::span<const Order> orders);
std::vector<std::uint32_t> cheapest_first(std::span<const Order> orders);
// Whether `a` is luckier than `b`.
bool luckier(const Order& a, const Order& b);

}  // namespace icon::budget::auction
