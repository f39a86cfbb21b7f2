#include "simulate/market.h"

#include <string>

#include "base/digest.h"
#include "budget/auction/uniform_price.h"

namespace icon::simulate {

using budget::auction::Order;

Market::Market(const World& world, std::uint64_t seed)
    : world_(world),
      seed_(blake2b(std::to_string(seed))),
      revenue_(world.nodes.size()),
      bids_(world.nodes.size()) {
  for (const auto& node : world.nodes) free_.push_back(node.slots);
}

bool Market::bid(std::int32_t node, std::uint32_t service, wire::MicroCredits limit) {
  auto& bids = bids_[static_cast<std::size_t>(node)];
  bids.push_back({service, limit});
  return bids.size() == 1;
}

std::vector<Sale> Market::close(std::int32_t node) {
  const auto index = static_cast<std::size_t>(node);
  const auto bids = std::exchange(bids_[index], {});
  std::vector<Order> orders;
  for (const auto& bid : bids)
    orders.push_back({bid.limit,
                      budget::auction::lottery_place(seed_, world_.services[bid.service].key),
                      bid.service});
  const auto clearing = budget::auction::clear_uniform(
      orders, static_cast<std::size_t>(free_[index]), world_.nodes[index].price_ucredits);
  std::vector<Sale> sales;
  for (const auto& bid : bids) sales.push_back({bid.service, std::nullopt});
  for (const auto winner : clearing.winners) sales[winner].price_ucredits = clearing.price;
  free_[index] -= static_cast<std::int64_t>(clearing.winners.size());
  if (clearing.winners.size() < bids.size()) ++auctions_;
  return sales;
}

wire::MicroCredits Market::revenue() const {
  wire::MicroCredits sum = 0;
  for (const auto amount : revenue_) sum += amount;
  return sum;
}

bool Market::all_free() const {
  for (std::size_t i = 0; i < free_.size(); ++i)
    if (free_[i] != world_.nodes[i].slots) return false;
  return true;
}

}  // namespace icon::simulate
