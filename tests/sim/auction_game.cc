#include "tests/sim/auction_game.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <set>

#include "budget/auction/sbba.h"
#include "budget/auction/uniform_price.h"

namespace icon::budget::auction {
namespace {

constexpr MicroCredits kPriceMaxima[] = {2, 12, 1'000'000};  // small ones make ties

bool holds(const std::vector<std::uint32_t>& indices, std::size_t index) {
  return std::find(indices.begin(), indices.end(), index) != indices.end();
}

// What could matter: nothing, everything, and each side of every price in the market.
std::set<MicroCredits> misreports(const Market& market) {
  std::set<MicroCredits> prices{0, kMicroCreditsMax};
  for (const auto* side : {&market.buyers, &market.sellers})
    for (const auto& order : *side)
      for (const auto price : {order.price - 1, order.price, order.price + 1})
        if (price >= 0) prices.insert(price);
  return prices;
}

// One auction's rule seen from its parties: what each gains when all say `said`, at true prices.
class Rule {
 public:
  Rule(bool is_double, std::size_t slots, MicroCredits reserve)
      : double_(is_double), slots_(slots), reserve_(reserve) {}

  struct Result {
    MicroCredits price = 0;
    std::vector<std::uint32_t> buyers;
    std::vector<std::uint32_t> sellers;
  };
  Result clear(const Market& said) const {
    if (double_) {
      auto cleared = clear_double(said.buyers, said.sellers);
      return {cleared.price, std::move(cleared.buyers), std::move(cleared.sellers)};
    }
    auto cleared = clear_uniform(said.buyers, slots_, reserve_);
    return {cleared.price, std::move(cleared.winners), {}};
  }
  std::string check(const Market& market, const Result& result) const {
    if (double_ && result.buyers.size() != result.sellers.size())
      return "money is left: other numbers of buyers and sellers";
    if (!double_ && result.buyers.size() > slots_) return "more winners than slots";
    if (!double_ && !result.buyers.empty() && result.price < reserve_)
      return "a price below the reserve";
    for (const auto index : result.buyers)
      if (result.price > market.buyers[index].price) return "a buyer pays more than it bid";
    for (const auto index : result.sellers)
      if (result.price < market.sellers[index].price) return "a seller gets less than it asked";
    return {};
  }
  std::string name() const { return double_ ? "double" : "uniform"; }

 private:
  bool double_;
  std::size_t slots_;
  MicroCredits reserve_;
};

MicroCredits gain_of(const Rule::Result& result, bool buys, std::size_t index, MicroCredits truth) {
  if (buys) return holds(result.buyers, index) ? truth - result.price : 0;
  return holds(result.sellers, index) ? result.price - truth : 0;
}

// Every misreport by every party; the first that pays, as a sentence.
std::string try_all(const Rule& rule, Market& market, std::int64_t& tried) {
  const auto honest = rule.clear(market);
  const auto prices = misreports(market);
  for (const bool buys : {true, false}) {
    auto& side = buys ? market.buyers : market.sellers;
    for (std::size_t i = 0; i < side.size(); ++i) {
      const auto truth = side[i].price;
      const auto gain = gain_of(honest, buys, i, truth);
      for (const auto price : prices) {
        side[i].price = price;
        ++tried;
        if (gain_of(rule.clear(market), buys, i, truth) > gain) {
          side[i].price = truth;
          return fmt::format("{} {} gains by saying {} instead of {}", buys ? "buyer" : "seller", i,
                             price, truth);
        }
      }
      side[i].price = truth;
    }
  }
  return {};
}

}  // namespace

Market random_market(std::uint64_t seed, std::size_t buyers, std::size_t sellers,
                     MicroCredits price_max) {
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<MicroCredits> price(0, price_max);
  Market market;
  for (std::size_t i = 0; i < buyers; ++i)
    market.buyers.push_back({price(random), random(), static_cast<std::uint32_t>(i)});
  for (std::size_t i = 0; i < sellers; ++i)
    market.sellers.push_back({price(random), random(), static_cast<std::uint32_t>(i)});
  return market;
}

GameFindings play(std::uint64_t first_seed, std::int64_t auctions, std::size_t side_max) {
  GameFindings findings;
  for (std::int64_t i = 0; i < auctions && findings.failure.empty(); ++i) {
    const auto seed = first_seed + static_cast<std::uint64_t>(i);
    std::mt19937_64 random(seed);
    const bool is_double = random() % 2 == 0;
    const auto price_max = kPriceMaxima[random() % std::size(kPriceMaxima)];
    const auto sellers = is_double ? random() % (side_max + 1) : 0;
    auto market = random_market(random(), random() % (side_max + 1), sellers, price_max);
    const Rule rule(is_double, 1 + random() % side_max,
                    std::uniform_int_distribution<MicroCredits>(0, price_max / 2)(random));
    const auto result = rule.clear(market);
    auto failure = rule.check(market, result);
    if (failure.empty()) failure = try_all(rule, market, findings.misreports);
    if (!failure.empty())
      findings.failure = fmt::format("{} auction with seed {}: {}", rule.name(), seed, failure);
    findings.trades += static_cast<std::int64_t>(result.buyers.size());
    ++findings.auctions;
  }
  return findings;
}

}  // namespace icon::budget::auction
