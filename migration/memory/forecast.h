// How long a service would stand still for what is left of its memory, from what its rounds have
// shown. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/clock.h"
#include "base/json.h"
#include "base/result.h"
#include "migration/memory/page_source.h"

namespace icon::migration {

struct MemoryForecast {
  std::uint64_t memory_bytes = 0;           // of the first round: all of it
  std::uint64_t link_bytes_per_second = 0;  // until the destination had it
  std::uint64_t change_bytes_per_second = 0;
  std::uint64_t rest_bytes = 0;   // what will have changed when the last round has arrived
  std::uint64_t image_bytes = 0;  // what is in CRIU's images only (image_memory.h)
  Millis rest{0};                 // what both take
  json::Object to_json() const;
};

// `rounds`: those that have arrived, in order. Nothing without any.
std::optional<MemoryForecast> forecast(std::span<const PageSource::Round> rounds,
                                       std::uint64_t image_bytes = 0);

// Errors: kRefused, with the figures, when the rest would take longer than `gap_max`.
Status check_forecast(const MemoryForecast& forecast, Millis gap_max);

}  // namespace icon::migration
