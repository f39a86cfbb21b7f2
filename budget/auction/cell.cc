#include "budget/auction/cell.h"

#include "wire/fields.h"

namespace icon::budget::auction {
namespace {

using Side = wire::AuctionBid::Side;

// Of units up to 2^50 a step of 50 is past any resource that a document may name.
constexpr int kStepsMax = 50;

std::optional<int> step_of(std::int64_t unit, std::int64_t amount, Side side) {
  if (side == Side::kSell) {
    if (amount < unit) return std::nullopt;
    int step = 0;
    while (step < kStepsMax && amount >> (step + 1) >= unit) ++step;
    return step;
  }
  for (int step = 0; step <= kStepsMax; ++step)
    if (unit >= (amount >> step) + ((amount & ((std::int64_t{1} << step) - 1)) != 0)) return step;
  return std::nullopt;
}

}  // namespace

std::optional<Cell> cell_of(const wire::AuctionCall& call, const wire::AuctionBid& bid) {
  const auto& unit = call.resources;
  const auto cpu = step_of(unit.cpu_millis, bid.resources.cpu_millis, bid.side);
  const auto memory = step_of(unit.memory_bytes, bid.resources.memory_bytes, bid.side);
  const auto bandwidth = step_of(unit.bandwidth_bps, bid.resources.bandwidth_bps, bid.side);
  if (!cpu || !memory || !bandwidth) return std::nullopt;
  const auto window_ms = call.slot_seconds * 1000;
  const auto end_ms = bid.start_ms + bid.slot_seconds * 1000;
  const auto up = [&](std::int64_t ms) { return ms / window_ms + (ms % window_ms != 0); };
  const bool buys = bid.side == Side::kBuy;
  const auto first = buys ? bid.start_ms / window_ms : up(bid.start_ms);
  const auto end = buys ? up(end_ms) : end_ms / window_ms;
  if (end <= first) return std::nullopt;
  return Cell{*cpu, *memory, *bandwidth, first, end - first};
}

wire::Resources resources_of(const wire::AuctionCall& call, const Cell& cell) {
  const auto scaled = [](std::int64_t unit, int step) {
    // A need rounded up may lie past what a document can name; nobody sells there.
    return unit > wire::kResourceMax >> step ? wire::kResourceMax : unit << step;
  };
  return {scaled(call.resources.cpu_millis, cell.cpu_step),
          scaled(call.resources.memory_bytes, cell.memory_step),
          scaled(call.resources.bandwidth_bps, cell.bandwidth_step)};
}

UtcMillis start_of(const wire::AuctionCall& call, const Cell& cell) {
  return cell.window * call.slot_seconds * 1000;
}

UtcMillis current_window(const wire::AuctionCall& call) {
  const auto window_ms = call.slot_seconds * 1000;
  return call.reveal_until_ms / window_ms * window_ms;
}

std::int64_t seconds_of(const wire::AuctionCall& call, const Cell& cell) {
  return cell.windows * call.slot_seconds;
}

}  // namespace icon::budget::auction
