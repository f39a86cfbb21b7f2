#include "budget/auction/order.h"

#include <sodium.h>

#include <algorithm>
#include <numeric>
#include <tuple>

namespace icon::budget::auction {
namespace {

template <class Before>
std::vector<std::uint32_t> sorted(std::span<const Order> orders, Before before) {
  std::vector<std::uint32_t> indices(orders.size());
  std::iota(indices.begin(), indices.end(), 0U);
  std::sort(indices.begin(), indices.end(),
            [&](std::uint32_t a, std::uint32_t b) { return before(orders[a], orders[b]); });
  return indices;
}

}  // namespace

std::uint64_t lottery_place(const Seed& seed, const PublicKey& party) {
  // One block of the hash: seed and key.
  std::array<unsigned char, 64> block{};
  std::copy(seed.begin(), seed.end(), block.begin());
  std::copy(party.bytes.begin(), party.bytes.end(), block.begin() + seed.size());
  std::array<unsigned char, crypto_generichash_BYTES_MIN> hash{};
  crypto_generichash(hash.data(), hash.size(), block.data(), block.size(), nullptr, 0);
  std::uint64_t place = 0;
  for (std::size_t i = 0; i < sizeof place; ++i) place = place << 8 | hash[i];
  return place;
}

bool luckier(const Order& a, const Order& b) {
  return std::tie(a.place, a.tie) < std::tie(b.place, b.tie);
}

std::vector<std::uint32_t> dearest_first(std::span<const Order> orders) {
  return sorted(orders, [](const Order& a, const Order& b) {
    return a.price != b.price ? a.price > b.price : luckier(a, b);
  });
}

std::vector<std::uint32_t> cheapest_first(std::span<const Order> orders) {
  return sorted(orders, [](const Order& a, const Order& b) {
    return a.price != b.price ? a.price < b.price : luckier(a, b);
  });
}

}  // namespace icon::budget::auction
