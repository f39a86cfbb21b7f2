#include "migration/memory/forecast.h"

#include <fmt/format.h>

#include <algorithm>

namespace icon::migration {
namespace {

constexpr std::uint64_t kRateMax = 1'000'000'000'000;  // a round of nothing takes no time

std::uint64_t per_second(std::uint64_t bytes, Micros took) {
  const auto us = static_cast<std::uint64_t>(std::max<std::int64_t>(took.count(), 1));
  return std::min(bytes / us * 1'000'000 + bytes % us * 1'000'000 / us, kRateMax);
}

std::string megabytes(std::uint64_t bytes) {
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

}  // namespace

std::optional<MemoryForecast> forecast(std::span<const PageSource::Round> rounds,
                                       std::uint64_t image_bytes) {
  if (rounds.empty()) return std::nullopt;
  MemoryForecast seen;
  seen.memory_bytes = rounds.front().bytes;
  // The largest round says most about the link: a small one is mostly round trip.
  const auto largest = std::ranges::max_element(rounds, {}, &PageSource::Round::bytes);
  seen.link_bytes_per_second = per_second(largest->bytes, largest->took);
  // What a round carries has changed while the one before was on its way.
  if (rounds.size() > 1)
    seen.change_bytes_per_second = per_second(rounds.back().bytes, rounds[rounds.size() - 2].took);
  else
    seen.change_bytes_per_second = seen.link_bytes_per_second;
  const double seconds = std::chrono::duration<double>(rounds.back().took).count();
  seen.rest_bytes = std::min(
      seen.memory_bytes,
      static_cast<std::uint64_t>(static_cast<double>(seen.change_bytes_per_second) * seconds));
  seen.image_bytes = image_bytes;
  seen.rest =
      Millis(static_cast<std::int64_t>((seen.rest_bytes + image_bytes) * 1'000 /
                                       std::max<std::uint64_t>(seen.link_bytes_per_second, 1)));
  return seen;
}

Status check_forecast(const MemoryForecast& forecast, Millis gap_max) {
  if (forecast.rest <= gap_max) return {};
  return fail(
      Code::kRefused,
      fmt::format("its memory changes at {} a second, {} of it are shared or locked, and the link "
                  "carries {} a second: {} would travel while it stands still, {:.1f} s; the limit "
                  "is {:.1f} s (gap_max_ms)",
                  megabytes(forecast.change_bytes_per_second), megabytes(forecast.image_bytes),
                  megabytes(forecast.link_bytes_per_second),
                  megabytes(forecast.rest_bytes + forecast.image_bytes),
                  static_cast<double>(forecast.rest.count()) / 1e3,
                  static_cast<double>(gap_max.count()) / 1e3));
}

json::Object MemoryForecast::to_json() const {
  return {{"memory_bytes", memory_bytes},
          {"link_bytes_per_second", link_bytes_per_second},
          {"change_bytes_per_second", change_bytes_per_second},
          {"forecast_rest_bytes", rest_bytes},
          {"image_memory_bytes", image_bytes},
          {"forecast_rest_ms", rest.count()}};
}

}  // namespace icon::migration
