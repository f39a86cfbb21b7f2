// Which slots are alike. A double auction's call lays a grid over cpu, memory, bandwidth and time:
// each resource in steps of the unit times a power of two, time in windows. What somebody needs is
// rounded up to a cell and what somebody sells is rounded down, so that within a cell every slot
// serves every need. Each bid lies in one cell; its price has no say in which.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>

#include "wire/auction.h"

namespace icon::budget::auction {

struct Cell {
  int cpu_step = 0;  // unit << step
  int memory_step = 0;
  int bandwidth_step = 0;
  std::int64_t window = 0;   // the first one; windows are counted from 1970
  std::int64_t windows = 0;  // how many in a row

  auto operator<=>(const Cell&) const = default;
};

// None for a slot that does not fill one cell, and for what no cell holds.
std::optional<Cell> cell_of(const wire::AuctionCall& call, const wire::AuctionBid& bid);

// What changes hands in a cell.
wire::Resources resources_of(const wire::AuctionCall& call, const Cell& cell);
UtcMillis start_of(const wire::AuctionCall& call, const Cell& cell);
// Where one window lies: the one in which the reveals end, for slots that are taken up at once.
UtcMillis current_window(const wire::AuctionCall& call);
std::int64_t seconds_of(const wire::AuctionCall& call, const Cell& cell);

}  // namespace icon::budget::auction
