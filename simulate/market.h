// The slots of all nodes. A node sells what is free at its posted price; when more want it at once
// than there is room, by sealed bids at the uniform (k+1)-th price, with its price as the reserve.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "budget/auction/order.h"
#include "simulate/world.h"

namespace icon::simulate {

struct Sale {
  std::uint32_t service = 0;
  std::optional<wire::MicroCredits> price_ucredits;  // nullopt: outbid
};

// Owner: the simulation; one thread. `world` is borrowed.
class Market {
 public:
  Market(const World& world, std::uint64_t seed);

  std::int64_t free_slots(std::int32_t node) const { return free_[static_cast<std::size_t>(node)]; }
  // At most `limit` for a slot; true when it is the first bid since the last close: somebody must
  // see to it that close() comes.
  bool bid(std::int32_t node, std::uint32_t service, wire::MicroCredits limit);
  // What became of all bids since the last close. A slot that is sold is no longer free.
  std::vector<Sale> close(std::int32_t node);
  void release(std::int32_t node) { ++free_[static_cast<std::size_t>(node)]; }
  void earn(std::int32_t node, wire::MicroCredits amount) {
    revenue_[static_cast<std::size_t>(node)] += amount;
  }

  wire::MicroCredits revenue() const;
  std::int64_t auctions() const { return auctions_; }  // closes at which somebody was outbid
  bool all_free() const;

 private:
  struct Bid {
    std::uint32_t service = 0;
    wire::MicroCredits limit = 0;
  };
  const World& world_;
  budget::auction::Seed seed_;
  std::vector<std::int64_t> free_;
  std::vector<wire::MicroCredits> revenue_;
  std::vector<std::vector<Bid>> bids_;
  std::int64_t auctions_ = 0;
};

}  // namespace icon::simulate
