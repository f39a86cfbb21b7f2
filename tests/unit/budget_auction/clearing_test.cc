#include "budget/auction/clearing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace icon::budget::auction {
namespace {

using wire::AuctionBid;
using wire::AuctionCall;

constexpr std::int64_t kHourMs = 3'600'000;
constexpr UtcMillis kNow = 472'222 * kHourMs;

AuctionCall grid_call() {
  AuctionCall call;
  call.rule = AuctionCall::Rule::kDouble;
  call.resources = {500, 256 << 20, 10'000'000};
  call.slot_seconds = 3600;
  call.deposit_ucredits = 10;
  return call;
}

AuctionBid bid(std::uint8_t who, AuctionBid::Side side, MicroCredits price) {
  AuctionBid made;
  made.party.bytes[0] = who;
  made.side = side;
  made.resources = {500, 256 << 20, 10'000'000};
  made.start_ms = kNow;
  made.slot_seconds = 3600;
  made.price_ucredits = price;
  return made;
}

AuctionBid buy(std::uint8_t who, MicroCredits price) {
  return bid(who, AuctionBid::Side::kBuy, price);
}
AuctionBid sell(std::uint8_t who, MicroCredits price) {
  return bid(who, AuctionBid::Side::kSell, price);
}

Clearing clear_all(const AuctionCall& call, const std::vector<AuctionBid>& bids,
                   std::vector<PublicKey> silent) {
  return clear(call, {}, bids, std::move(silent));
}

TEST(CellTest, NeedsAreRoundedUpAndSlotsDown) {
  const auto call = grid_call();
  auto need = buy(1, 1);
  need.resources = {501, 1, 0};
  need.start_ms = kNow + 1;
  need.slot_seconds = 3600;
  EXPECT_EQ(cell_of(call, need), (Cell{1, 0, 0, 472'222, 2}));
  auto slot = sell(2, 1);
  slot.resources = {1999, 511 << 20, 80'000'000};
  slot.start_ms = kNow - 1;
  slot.slot_seconds = 3600 * 3 - 1;
  EXPECT_EQ(cell_of(call, slot), (Cell{1, 0, 3, 472'222, 2}));
  slot.slot_seconds = 3599;
  EXPECT_FALSE(cell_of(call, slot)) << "no whole window";
  slot = sell(2, 1);
  slot.resources.memory_bytes -= 1;
  EXPECT_FALSE(cell_of(call, slot)) << "less than a unit";
}

// The promise of the grid: whoever shares a cell can trade.
TEST(CellTest, WithinACellEverySlotServesEveryNeed) {
  std::mt19937_64 random(5);
  const auto call = grid_call();
  int together = 0;
  for (int i = 0; i < 50'000; ++i) {
    auto need = buy(1, 1);
    auto slot = sell(2, 1);
    for (auto* each : {&need, &slot}) {
      each->resources = {static_cast<std::int64_t>(random() % 2'000),
                         static_cast<std::int64_t>(random() % (1 << 30)),
                         static_cast<std::int64_t>(random() % 40'000'000)};
      each->start_ms = kNow + static_cast<std::int64_t>(random() % kHourMs);
    }
    need.slot_seconds = 1 + static_cast<std::int64_t>(random() % 3'600);
    slot.start_ms -= kHourMs / 2;
    slot.slot_seconds = 3'600 + static_cast<std::int64_t>(random() % 7'200);
    const auto cell = cell_of(call, need);
    if (!cell || cell != cell_of(call, slot)) continue;
    ++together;
    EXPECT_TRUE(slot.resources.covers(need.resources));
    EXPECT_LE(slot.start_ms, need.start_ms);
    EXPECT_GE(slot.start_ms + slot.slot_seconds * 1000, need.start_ms + need.slot_seconds * 1000);
    EXPECT_TRUE(slot.resources.covers(resources_of(call, *cell)));
    EXPECT_TRUE(resources_of(call, *cell).covers(need.resources));
  }
  EXPECT_GT(together, 20);
}

TEST(CellTest, TheLargestThatADocumentMayName) {
  auto call = grid_call();
  call.resources = {1, 1, 1};
  auto need = buy(1, 1);
  constexpr auto most = std::int64_t{1} << 50;
  need.resources = {most, most, most};
  EXPECT_EQ(cell_of(call, need)->cpu_step, 50);
  need.side = AuctionBid::Side::kSell;
  EXPECT_EQ(cell_of(call, need)->cpu_step, 50);
  EXPECT_EQ(resources_of(call, *cell_of(call, need)), need.resources);
}

TEST(ClearingTest, ThePriceHasNoSayInTheCluster) {
  const auto call = grid_call();
  for (const MicroCredits price : {MicroCredits{0}, MicroCredits{5}, kMicroCreditsMax})
    EXPECT_EQ(cell_of(call, buy(1, price)), cell_of(call, buy(1, 7)));
}

TEST(ClearingTest, EachClusterClearsByItself) {
  const auto call = grid_call();
  auto large = [](AuctionBid made) {
    made.resources.cpu_millis = 1000;
    return made;
  };
  const auto clearing = clear_all(
      call, {buy(1, 9), sell(2, 1), sell(3, 4), large(buy(4, 90)), large(sell(5, 50))}, {});
  ASSERT_EQ(clearing.clusters.size(), 2u);
  EXPECT_EQ(clearing.clusters[0].price, 4);
  ASSERT_EQ(clearing.clusters[0].trades.size(), 1u);
  EXPECT_EQ(clearing.clusters[0].trades[0].seller, sell(2, 0).party);
  EXPECT_TRUE(clearing.clusters[1].trades.empty());  // one pair only: no price without a third
  EXPECT_EQ(clearing.trades(), 1u);
}

TEST(ClearingTest, TheOrderOfArrivalDoesNotMatter) {
  std::mt19937_64 random(7);
  const auto call = grid_call();
  const Seed seed = blake2b("some seed");
  std::vector<AuctionBid> bids;
  for (std::uint8_t i = 0; i < 60; ++i)
    bids.push_back(i % 2 ? buy(i, static_cast<MicroCredits>(random() % 5))
                         : sell(i, static_cast<MicroCredits>(random() % 5)));
  const auto digest = clear(call, seed, bids, {}).digest();
  for (int i = 0; i < 20; ++i) {
    std::shuffle(bids.begin(), bids.end(), random);
    EXPECT_EQ(clear(call, seed, bids, {}).digest(), digest);
  }
  EXPECT_NE(clear(call, blake2b("another"), bids, {}).digest(), digest);
}

TEST(ClearingTest, DepositsGoToThoseWhoRevealed) {
  const auto call = grid_call();
  std::vector<PublicKey> silent{buy(7, 0).party, buy(8, 0).party};
  const auto clearing = clear_all(call, {buy(1, 9), sell(2, 1), sell(3, 4)}, silent);
  MicroCredits lost = 0;
  MicroCredits got = 0;
  for (const auto& payment : clearing.forfeits) lost += payment.amount;
  for (const auto& payment : clearing.shares) {
    got += payment.amount;
    EXPECT_GE(payment.amount, 6);
    EXPECT_LE(payment.amount, 7);
  }
  EXPECT_EQ(lost, 20);
  EXPECT_EQ(got, 20);
  EXPECT_TRUE(clear_all(call, {}, silent).forfeits.empty()) << "nobody to be paid";
}

TEST(ClearingTest, SlotsOfOneProvider) {
  auto call = grid_call();
  call.rule = AuctionCall::Rule::kUniform;
  call.start_ms = kNow;
  call.slots = 2;
  call.reserve_ucredits = 3;
  call.auctioneer.bytes[0] = 99;
  auto too_large = buy(5, 100);
  too_large.resources.cpu_millis = 501;
  const auto clearing =
      clear_all(call, {buy(1, 4), buy(2, 8), buy(3, 6), sell(4, 1), too_large}, {});
  ASSERT_EQ(clearing.clusters.size(), 1u);
  EXPECT_EQ(clearing.clusters[0].price, 4);
  ASSERT_EQ(clearing.clusters[0].trades.size(), 2u);
  EXPECT_EQ(clearing.clusters[0].trades[0], (Trade{buy(2, 0).party, call.auctioneer}));
  EXPECT_EQ(clearing.misfits.size(), 2u);
}

}  // namespace
}  // namespace icon::budget::auction
