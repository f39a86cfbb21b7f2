// k like slots of one seller: the k highest bids win, and all pay the (k+1)-th, at least the
// reserve (Vickrey 1961 for unit demand). No winner's own bid is in its price, so none gains by
// another bid than the truth.
#pragma once

#include "budget/auction/order.h"

namespace icon::budget::auction {

struct UniformClearing {
  MicroCredits price = 0;              // for each winner; 0 when nobody wins
  std::vector<std::uint32_t> winners;  // indices into the bids, the dearest first
};

UniformClearing clear_uniform(std::span<const Order> bids, std::size_t slots, MicroCredits reserve);

}  // namespace icon::budget::auction
