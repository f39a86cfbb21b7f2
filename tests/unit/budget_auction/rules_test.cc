#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "budget/auction/sbba.h"
#include "budget/auction/uniform_price.h"
#include "tests/sim/auction_game.h"

namespace icon::budget::auction {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<Order> orders(std::initializer_list<MicroCredits> prices) {
  std::vector<Order> made;
  for (const auto price : prices) {
    const auto index = static_cast<std::uint32_t>(made.size());
    made.push_back({price, index, index});  // the first is the luckiest
  }
  return made;
}

TEST(UniformPriceTest, WinnersPayTheNextBid) {
  const auto cleared = clear_uniform(orders({5, 9, 7, 8}), 2, 0);
  EXPECT_THAT(cleared.winners, ElementsAre(1, 3));
  EXPECT_EQ(cleared.price, 7);
}

TEST(UniformPriceTest, TheReserveIsAPriceToo) {
  EXPECT_EQ(clear_uniform(orders({5, 9, 7}), 2, 6).price, 6);
  const auto short_of_buyers = clear_uniform(orders({5, 9}), 2, 6);
  EXPECT_THAT(short_of_buyers.winners, ElementsAre(1));
  EXPECT_EQ(short_of_buyers.price, 6);
  EXPECT_THAT(clear_uniform(orders({5}), 2, 6).winners, IsEmpty());
  EXPECT_THAT(clear_uniform({}, 2, 6).winners, IsEmpty());
}

TEST(UniformPriceTest, EqualBidsAreDecidedByLot) {
  auto bids = orders({7, 7, 7});
  bids[2].place = 0;
  bids[0].place = 2;
  const auto cleared = clear_uniform(bids, 1, 0);
  EXPECT_THAT(cleared.winners, ElementsAre(2));
  EXPECT_EQ(cleared.price, 7);
}

// The next seller's price lies between: all k pairs trade at it.
TEST(SbbaTest, TheNextSellerSetsThePrice) {
  const auto cleared = clear_double(orders({9, 8, 2}), orders({1, 3, 6}));
  EXPECT_EQ(cleared.price, 6);
  EXPECT_THAT(cleared.buyers, ElementsAre(0, 1));
  EXPECT_THAT(cleared.sellers, ElementsAre(0, 1));
}

// It does not: the k-th buyer sets the price and does not trade, nor does an unlucky seller.
TEST(SbbaTest, TheLastBuyerSetsThePrice) {
  const auto buyers = orders({9, 8, 5});
  auto sellers = orders({1, 3, 4, 6});
  auto cleared = clear_double(buyers, sellers);
  EXPECT_EQ(cleared.price, 5);
  EXPECT_THAT(cleared.buyers, ElementsAre(0, 1));
  EXPECT_THAT(cleared.sellers, ElementsAre(0, 1));
  sellers[0].place = 9;  // the cheapest can be the unlucky one: price does not protect
  cleared = clear_double(buyers, sellers);
  EXPECT_THAT(cleared.sellers, ElementsAre(1, 2));
}

TEST(SbbaTest, NoTradeWithoutTwo) {
  EXPECT_THAT(clear_double(orders({9}), orders({1})).buyers, IsEmpty());
  EXPECT_THAT(clear_double(orders({1}), orders({9, 9})).buyers, IsEmpty());
  EXPECT_THAT(clear_double({}, orders({9})).buyers, IsEmpty());
  const auto one = clear_double(orders({9}), orders({1, 2}));
  EXPECT_THAT(one.buyers, ElementsAre(0));
  EXPECT_EQ(one.price, 2);
}

TEST(SbbaTest, TheGainPossibleIsTheBestOfAllAssignments) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const auto market = random_market(seed, seed % 6, seed % 5, 20);
    // Of all sets of buyers and sellers of one size, whatever the pairing.
    MicroCredits best = 0;
    for (unsigned b = 0; b < 1U << market.buyers.size(); ++b)
      for (unsigned s = 0; s < 1U << market.sellers.size(); ++s) {
        if (__builtin_popcount(b) != __builtin_popcount(s)) continue;
        MicroCredits sum = 0;
        for (std::size_t i = 0; i < market.buyers.size(); ++i)
          if (b >> i & 1) sum += market.buyers[i].price;
        for (std::size_t i = 0; i < market.sellers.size(); ++i)
          if (s >> i & 1) sum -= market.sellers[i].price;
        best = std::max(best, sum);
      }
    EXPECT_EQ(gain_possible(market.buyers, market.sellers), best) << "seed " << seed;
    const auto cleared = clear_double(market.buyers, market.sellers);
    EXPECT_LE(gain_reached(market.buyers, market.sellers, cleared), best) << "seed " << seed;
  }
}

TEST(AuctionGameTest, NoMisreportPays) {
  const auto findings = play(1, 2'000, 5);
  EXPECT_EQ(findings.failure, "");
  EXPECT_EQ(findings.auctions, 2'000);
  EXPECT_GT(findings.trades, 1'000);
}

}  // namespace
}  // namespace icon::budget::auction
