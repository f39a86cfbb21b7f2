// The rounds of bench/auction: truthfulness by brute force, gain beside the best possible, time to
// clear. Arguments: AUCTIONS FIRST_SEED. Prints JSON; exit 1 with the seed when a promise is
// broken.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "budget/auction/clearing.h"
#include "budget/auction/sbba.h"
#include "tests/sim/auction_game.h"

namespace icon::budget::auction {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kGameSideMax = 6;
constexpr std::size_t kSides[] = {2, 5, 10, 20, 50, 100, 500};
constexpr int kGainRounds = 1'000;
constexpr int kTimeRounds = 21;
constexpr std::size_t kTimedSide = 10'000;

double ms_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

double gain_share(std::size_t side, std::uint64_t first_seed) {
  double share = 0;
  int rounds = 0;
  for (int i = 0; i < kGainRounds; ++i) {
    const auto market =
        random_market(first_seed + static_cast<std::uint64_t>(i), side, side, 1'000'000);
    const auto best = gain_possible(market.buyers, market.sellers);
    if (best == 0) continue;
    const auto cleared = clear_double(market.buyers, market.sellers);
    share += static_cast<double>(gain_reached(market.buyers, market.sellers, cleared)) /
             static_cast<double>(best);
    ++rounds;
  }
  return rounds == 0 ? 0 : share / rounds;
}

// From bids as they are read to the outcome with its digest, all in one cell.
double clear_ms(std::uint64_t seed) {
  wire::AuctionCall call;
  call.rule = wire::AuctionCall::Rule::kDouble;
  call.resources = {500, 256 << 20, 10'000'000};
  call.slot_seconds = 3600;
  const auto market = random_market(seed, kTimedSide, kTimedSide, 1'000'000);
  std::vector<wire::AuctionBid> bids;
  for (const auto* side : {&market.buyers, &market.sellers})
    for (const auto& order : *side) {
      wire::AuctionBid bid;
      for (std::size_t i = 0; i < 8; ++i)
        bid.party.bytes[i] = static_cast<std::uint8_t>(order.place >> (8 * i));
      bid.side =
          side == &market.buyers ? wire::AuctionBid::Side::kBuy : wire::AuctionBid::Side::kSell;
      bid.resources = call.resources;
      bid.slot_seconds = call.slot_seconds;
      bid.price_ucredits = order.price;
      bids.push_back(std::move(bid));
    }
  const auto begin = Clock::now();
  const auto clearing = clear(call, blake2b(std::to_string(seed)), bids, {});
  const auto took = ms_since(begin);
  if (clearing.trades() < kTimedSide / 3) std::abort();
  return took;
}

int run(std::int64_t auctions, std::uint64_t first_seed) {
  const auto begin = Clock::now();
  const auto findings = play(first_seed, auctions, kGameSideMax);
  std::printf("{\"auctions\": %lld, \"misreports\": %lld, \"trades\": %lld, \"played_s\": %.1f",
              static_cast<long long>(findings.auctions),
              static_cast<long long>(findings.misreports), static_cast<long long>(findings.trades),
              ms_since(begin) / 1000);
  std::printf(", \"failure\": \"%s\", \"gain\": {", findings.failure.c_str());
  for (const auto side : kSides)
    std::printf("%s\"%zu\": %.4f", side == kSides[0] ? "" : ", ", side,
                gain_share(side, first_seed));
  std::vector<double> times;
  for (int i = 0; i < kTimeRounds; ++i)
    times.push_back(clear_ms(first_seed + static_cast<std::uint64_t>(i)));
  std::sort(times.begin(), times.end());
  std::printf("}, \"clear_ms\": {\"median\": %.2f, \"max\": %.2f}}\n", times[times.size() / 2],
              times.back());
  return findings.failure.empty() ? 0 : 1;
}

}  // namespace
}  // namespace icon::budget::auction

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: icon-bench-auction AUCTIONS FIRST_SEED\n");
    return 2;
  }
  return icon::budget::auction::run(std::atoll(argv[1]), std::strtoull(argv[2], nullptr, 10));
}
