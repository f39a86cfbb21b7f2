#include "budget/auction/sbba.h"

#include <algorithm>
#include <limits>

namespace icon::budget::auction {
namespace {

struct Ranked {
  std::vector<std::uint32_t> buyers;
  std::vector<std::uint32_t> sellers;
  std::size_t pairs = 0;  // k
};

Ranked rank(std::span<const Order> buyers, std::span<const Order> sellers) {
  Ranked ranked{dearest_first(buyers), cheapest_first(sellers), 0};
  const auto most = std::min(buyers.size(), sellers.size());
  while (ranked.pairs < most &&
         buyers[ranked.buyers[ranked.pairs]].price >= sellers[ranked.sellers[ranked.pairs]].price)
    ++ranked.pairs;
  return ranked;
}

MicroCredits saturated(__int128 sum) {
  constexpr auto kMost = std::numeric_limits<MicroCredits>::max();
  return sum > kMost ? kMost : static_cast<MicroCredits>(sum);
}

}  // namespace

DoubleClearing clear_double(std::span<const Order> buyers, std::span<const Order> sellers) {
  DoubleClearing clearing;
  auto ranked = rank(buyers, sellers);
  const auto k = ranked.pairs;
  if (k == 0) return clearing;
  const auto last_buyer = buyers[ranked.buyers[k - 1]].price;
  const bool next_seller_prices =
      k < sellers.size() && sellers[ranked.sellers[k]].price <= last_buyer;
  clearing.price = next_seller_prices ? sellers[ranked.sellers[k]].price : last_buyer;
  ranked.buyers.resize(k);
  ranked.sellers.resize(k);
  if (!next_seller_prices) {
    ranked.buyers.pop_back();
    const auto unlucky =
        std::max_element(ranked.sellers.begin(), ranked.sellers.end(),
                         [&](auto a, auto b) { return luckier(sellers[a], sellers[b]); });
    ranked.sellers.erase(unlucky);
  }
  clearing.buyers = std::move(ranked.buyers);
  clearing.sellers = std::move(ranked.sellers);
  if (clearing.buyers.empty()) clearing.price = 0;
  return clearing;
}

MicroCredits gain_possible(std::span<const Order> buyers, std::span<const Order> sellers) {
  const auto ranked = rank(buyers, sellers);
  __int128 sum = 0;
  for (std::size_t i = 0; i < ranked.pairs; ++i)
    sum += buyers[ranked.buyers[i]].price - sellers[ranked.sellers[i]].price;
  return saturated(sum);
}

MicroCredits gain_reached(std::span<const Order> buyers, std::span<const Order> sellers,
                          const DoubleClearing& clearing) {
  __int128 sum = 0;
  for (const auto index : clearing.buyers) sum += buyers[index].price;
  for (const auto index : clearing.sellers) sum -= sellers[index].price;
  return saturated(sum);
}

}  // namespace icon::budget::auction
