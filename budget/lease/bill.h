// What served time costs, and what missing time costs the provider. Pure integer rules that both
// sides and any third party compute alike.
#pragma once

#include <vector>

#include "budget/money.h"
#include "wire/tenancy.h"

namespace icon::budget::lease {

// A lease is its slot and each renewal, one after the other, each at its own price.
struct Segment {
  UtcMillis start_ms = 0;
  std::int64_t seconds = 0;
  MicroCredits price = 0;
  std::int64_t served_ms = 0;  // so far

  UtcMillis end_ms() const { return start_ms + seconds * 1000; }
};

// By the second, both rounded up, never more than the price.
std::int64_t seconds_used(const Segment& segment);
MicroCredits charge(const Segment& segment);
MicroCredits charge(const std::vector<Segment>& segments);
MicroCredits price(const std::vector<Segment>& segments);

// For the time that is short of the promise over `metered_ms`: penalty_permille of what that time
// costs on average, rounded down, never more than the whole charge.
MicroCredits penalty(const wire::LeaseTerms& terms, const std::vector<Segment>& segments,
                     std::int64_t metered_ms);

// The most that a slot can use up in so much time: more in a usage is a lie. Where the slot has no
// limit there is none.
struct UseBounds {
  std::int64_t cpu_ms = 0;
  std::int64_t memory_bytes = 0;
  std::int64_t bytes_each_way = 0;
};
UseBounds use_bounds(const wire::Resources& slot, std::int64_t span_ms);

}  // namespace icon::budget::lease
