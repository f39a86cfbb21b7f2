#include "budget/auction/clearing.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "base/assert.h"
#include "budget/auction/sbba.h"
#include "budget/auction/uniform_price.h"

namespace icon::budget::auction {
namespace {

using Side = wire::AuctionBid::Side;

// The orders of one side of a cluster, and whose they are.
struct Book {
  std::vector<Order> orders;
  std::vector<PublicKey> parties;

  void add(const wire::AuctionBid& bid, const Seed& seed) {
    orders.push_back({bid.price_ucredits, lottery_place(seed, bid.party),
                      static_cast<std::uint32_t>(orders.size())});
    parties.push_back(bid.party);
  }
};

struct Books {
  Book buyers;
  Book sellers;
};

bool fits_slot(const wire::AuctionCall& call, const wire::AuctionBid& bid) {
  return bid.side == Side::kBuy && call.resources.covers(bid.resources) &&
         bid.start_ms >= call.start_ms &&
         bid.start_ms + bid.slot_seconds * 1000 <= call.start_ms + call.slot_seconds * 1000;
}

void clear_slots(const wire::AuctionCall& call, const Seed& seed,
                 const std::vector<const wire::AuctionBid*>& bids, Clearing& clearing) {
  Book book;
  for (const auto* bid : bids)
    if (fits_slot(call, *bid))
      book.add(*bid, seed);
    else
      clearing.misfits.push_back(bid->party);
  const auto cleared =
      clear_uniform(book.orders, static_cast<std::size_t>(call.slots), call.reserve_ucredits);
  Cluster cluster{call.resources,
                  call.start_ms,
                  call.slot_seconds,
                  static_cast<std::int64_t>(book.orders.size()),
                  call.slots,
                  cleared.price,
                  {}};
  for (const auto winner : cleared.winners)
    cluster.trades.push_back({book.parties[winner], call.auctioneer});
  clearing.clusters.push_back(std::move(cluster));
}

void clear_cells(const wire::AuctionCall& call, const Seed& seed,
                 const std::vector<const wire::AuctionBid*>& bids, Clearing& clearing) {
  std::map<Cell, Books> cells;
  for (const auto* bid : bids) {
    const auto cell = cell_of(call, *bid);
    if (!cell) {
      clearing.misfits.push_back(bid->party);
      continue;
    }
    auto& books = cells[*cell];
    (bid->side == Side::kBuy ? books.buyers : books.sellers).add(*bid, seed);
  }
  for (const auto& [cell, books] : cells) {
    const auto cleared = clear_double(books.buyers.orders, books.sellers.orders);
    Cluster cluster{resources_of(call, cell),
                    start_of(call, cell),
                    seconds_of(call, cell),
                    static_cast<std::int64_t>(books.buyers.orders.size()),
                    static_cast<std::int64_t>(books.sellers.orders.size()),
                    cleared.price,
                    {}};
    for (std::size_t i = 0; i < cleared.buyers.size(); ++i)
      cluster.trades.push_back(
          {books.buyers.parties[cleared.buyers[i]], books.sellers.parties[cleared.sellers[i]]});
    clearing.clusters.push_back(std::move(cluster));
  }
}

// Equal shares; what does not divide goes to the luckiest, a micro-credit each.
void share_deposits(const wire::AuctionCall& call, const Seed& seed,
                    const std::vector<const wire::AuctionBid*>& bids,
                    const std::vector<PublicKey>& silent, Clearing& clearing) {
  if (bids.empty() || silent.empty() || call.deposit_ucredits == 0) return;
  for (const auto& party : silent) clearing.forfeits.push_back({party, call.deposit_ucredits});
  const auto total = call.deposit_ucredits * static_cast<MicroCredits>(silent.size());
  const auto count = static_cast<MicroCredits>(bids.size());
  auto rest = total % count;
  std::vector<Order> places;
  for (const auto* bid : bids) {
    clearing.shares.push_back({bid->party, total / count});
    places.push_back(
        {0, lottery_place(seed, bid->party), static_cast<std::uint32_t>(places.size())});
  }
  for (const auto index : cheapest_first(places)) {
    if (rest-- == 0) break;
    ++clearing.shares[index].amount;
  }
}

json::Array to_json(const std::vector<Payment>& payments) {
  json::Array array;
  for (const auto& [party, amount] : payments)
    array.push_back(json::Object{{"party", party.id()}, {"ucredits", amount}});
  return array;
}

}  // namespace

std::size_t Clearing::trades() const {
  std::size_t count = 0;
  for (const auto& cluster : clusters) count += cluster.trades.size();
  return count;
}

json::Object Clearing::to_json() const {
  json::Array list;
  for (const auto& cluster : clusters) {
    json::Array pairs;
    for (const auto& trade : cluster.trades)
      pairs.push_back(json::Object{{"buyer", trade.buyer.id()}, {"seller", trade.seller.id()}});
    list.push_back(json::Object{{"resources", cluster.resources.to_json()},
                                {"start_ms", cluster.start_ms},
                                {"seconds", cluster.seconds},
                                {"buyers", cluster.buyers},
                                {"sellers", cluster.sellers},
                                {"price_ucredits", cluster.price},
                                {"trades", std::move(pairs)}});
  }
  json::Array strangers;
  for (const auto& party : misfits) strangers.push_back(json::Value(party.id()));
  return {{"clusters", std::move(list)},
          {"misfits", std::move(strangers)},
          {"forfeits", auction::to_json(forfeits)},
          {"shares", auction::to_json(shares)}};
}

std::string Clearing::digest() const {
  const auto text = json::canonical(to_json());
  ICON_ASSERT(text);  // integers and ids only
  return blake2b_hex(*text);
}

Deposits deposits_of(const Clearing& clearing, const PublicKey& party) {
  Deposits deposits;
  for (const auto& forfeit : clearing.forfeits)
    if (forfeit.party == party) deposits.owed += forfeit.amount;
  for (const auto& share : clearing.shares)
    if (share.party == party) deposits.due += share.amount;
  return deposits;
}

Clearing clear(const wire::AuctionCall& call, const Seed& seed,
               std::span<const wire::AuctionBid> revealed, std::vector<PublicKey> silent) {
  // By key: the order of arrival must not matter.
  std::vector<const wire::AuctionBid*> bids;
  bids.reserve(revealed.size());
  for (const auto& bid : revealed) bids.push_back(&bid);
  std::sort(bids.begin(), bids.end(), [](const auto* a, const auto* b) {
    return std::memcmp(a->party.bytes.data(), b->party.bytes.data(), a->party.bytes.size()) < 0;
  });
  std::sort(silent.begin(), silent.end());
  Clearing clearing;
  if (call.rule == wire::AuctionCall::Rule::kUniform)
    clear_slots(call, seed, bids, clearing);
  else
    clear_cells(call, seed, bids, clearing);
  share_deposits(call, seed, bids, silent, clearing);
  return clearing;
}

}  // namespace icon::budget::auction
