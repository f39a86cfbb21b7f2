// What a load client measured in a window of time, and how it is told: one JSON line. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "lab/load_checker.h"

namespace icon::lab {

// The value below which `percent` of the samples lie (nearest rank); 0 without samples.
std::int64_t percentile(std::vector<std::int64_t> samples, int percent);

// Times are CLOCK_MONOTONIC microseconds, so that the lines of all programs of a lab compare.
struct LoadReport {
  std::string window;
  std::int64_t begin_us = 0;
  std::int64_t end_us = 0;
  std::int64_t connections = 0;
  std::int64_t alive = 0;
  ReplyCounts window_replies;  // of this window
  ReplyCounts total_replies;   // since the start
  std::int64_t owed = 0;       // requests that wait for their reply now
  std::int64_t rtt_us_p50 = 0;
  std::int64_t rtt_us_p95 = 0;
  std::int64_t rtt_us_max = 0;
  // Each connection's longest time without a reply. At most one pace longer than the service's own
  // pause; `silence_any_us` (no connection heard anything) is the finer measure.
  std::vector<std::int64_t> silences_us;
  std::int64_t silence_begin_us = 0;  // when the longest of them began
  std::int64_t silence_any_us = 0;
  std::vector<std::string> errors;  // why connections ended, at most kLoadErrorsMax

  std::int64_t silence_us_p50() const { return percentile(silences_us, 50); }
  std::int64_t silence_us_max() const { return percentile(silences_us, 100); }

  json::Object to_json() const;
  static Result<LoadReport> from_json(const json::Object& object);
};
inline constexpr std::size_t kLoadErrorsMax = 8;
inline constexpr std::size_t kLoadConnectionsMax = 4096;

// Collects one window's samples.
class WindowStats {
 public:
  WindowStats(std::string name, std::size_t connections, std::int64_t now_us);
  // A reply to `connection` after `rtt_us`; `silence_us` since that connection's last one,
  // `silence_any_us` since anybody's.
  void reply(std::size_t connection, std::int64_t now_us, std::int64_t rtt_us,
             std::int64_t silence_us, std::int64_t silence_any_us);
  // A silence that goes on when the window is read.
  void silence(std::size_t connection, std::int64_t now_us, std::int64_t silence_us);
  // Fills the window's part of a report.
  void fill(LoadReport& report, std::int64_t now_us) const;

 private:
  std::string name_;
  std::int64_t begin_us_;
  std::vector<std::int64_t> rtts_us_;
  std::vector<std::int64_t> silences_us_;
  std::int64_t silence_longest_us_ = 0;
  std::int64_t silence_begin_us_ = 0;
  std::int64_t silence_any_us_ = 0;
};

}  // namespace icon::lab
