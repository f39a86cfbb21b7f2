#include "budget/auction/uniform_price.h"

#include <algorithm>

namespace icon::budget::auction {

UniformClearing clear_uniform(std::span<const Order> bids, std::size_t slots,
                              MicroCredits reserve) {
  UniformClearing clearing;
  const auto ranked = dearest_first(bids);
  for (const auto index : ranked) {
    if (clearing.winners.size() == slots || bids[index].price < reserve) break;
    clearing.winners.push_back(index);
  }
  if (clearing.winners.empty()) return clearing;
  const auto next = clearing.winners.size();
  clearing.price = next < ranked.size() ? std::max(reserve, bids[ranked[next]].price) : reserve;
  return clearing;
}

}  // namespace icon::budget::auction
