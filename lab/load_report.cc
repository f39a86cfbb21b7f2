#include "lab/load_report.h"

#include <algorithm>
#include <limits>

namespace icon::lab {
namespace {

// At 4096 connections and 20 requests/s: two minutes. Beyond it the newest samples are left out.
constexpr std::size_t kSamplesMax = 10'000'000;
constexpr auto kAnyMax = std::numeric_limits<std::int64_t>::max();

json::Object counts_to_json(const ReplyCounts& counts) {
  return {{"right", counts.right},
          {"lost", counts.lost},
          {"duplicated", counts.duplicated},
          {"reordered", counts.reordered},
          {"wrong", counts.wrong}};
}

Result<ReplyCounts> counts_from_json(const json::Object& parent, std::string_view key) {
  ICON_TRY(const auto* object, json::get_object(parent, key));
  ReplyCounts counts;
  const auto read = [&](std::string_view name, std::uint64_t& value) -> Status {
    ICON_TRY(const auto number, json::get_int(*object, name, 0, kAnyMax));
    value = static_cast<std::uint64_t>(number);
    return {};
  };
  ICON_CHECK(read("right", counts.right));
  ICON_CHECK(read("lost", counts.lost));
  ICON_CHECK(read("duplicated", counts.duplicated));
  ICON_CHECK(read("reordered", counts.reordered));
  ICON_CHECK(read("wrong", counts.wrong));
  return counts;
}

}  // namespace

std::int64_t percentile(std::vector<std::int64_t> samples, int percent) {
  if (samples.empty()) return 0;
  const auto count = samples.size();
  const auto rank =
      std::max<std::size_t>(1, (count * static_cast<std::size_t>(percent) + 99) / 100);
  const auto at = samples.begin() + static_cast<std::ptrdiff_t>(std::min(rank, count) - 1);
  std::nth_element(samples.begin(), at, samples.end());
  return *at;
}

json::Object LoadReport::to_json() const {
  json::Array silences(silences_us.begin(), silences_us.end());
  json::Array reasons;
  for (const auto& error : errors) reasons.emplace_back(error);
  return {{"window", window},
          {"begin_us", begin_us},
          {"end_us", end_us},
          {"connections", connections},
          {"alive", alive},
          {"window_replies", counts_to_json(window_replies)},
          {"total_replies", counts_to_json(total_replies)},
          {"owed", owed},
          {"rtt_us_p50", rtt_us_p50},
          {"rtt_us_p95", rtt_us_p95},
          {"rtt_us_max", rtt_us_max},
          {"silence_us_p50", silence_us_p50()},
          {"silence_us_max", silence_us_max()},
          {"silence_any_us", silence_any_us},
          {"silence_begin_us", silence_begin_us},
          {"silences_us", std::move(silences)},
          {"errors", std::move(reasons)}};
}

Result<LoadReport> LoadReport::from_json(const json::Object& object) {
  LoadReport report;
  ICON_TRY(report.window, json::get_string(object, "window"));
  const auto read = [&](std::string_view name, std::int64_t& value) -> Status {
    ICON_TRY(value, json::get_int(object, name, 0, kAnyMax));
    return {};
  };
  ICON_CHECK(read("begin_us", report.begin_us));
  ICON_CHECK(read("end_us", report.end_us));
  ICON_CHECK(read("connections", report.connections));
  ICON_CHECK(read("alive", report.alive));
  ICON_CHECK(read("owed", report.owed));
  ICON_CHECK(read("rtt_us_p50", report.rtt_us_p50));
  ICON_CHECK(read("rtt_us_p95", report.rtt_us_p95));
  ICON_CHECK(read("rtt_us_max", report.rtt_us_max));
  ICON_CHECK(read("silence_any_us", report.silence_any_us));
  ICON_CHECK(read("silence_begin_us", report.silence_begin_us));
  ICON_TRY(report.window_replies, counts_from_json(object, "window_replies"));
  ICON_TRY(report.total_replies, counts_from_json(object, "total_replies"));
  ICON_TRY(const auto* silences, json::get_array(object, "silences_us", kLoadConnectionsMax));
  for (const auto& silence : *silences) {
    if (!silence.is_int64()) return fail(Code::kInvalid, "silences_us holds no integer");
    report.silences_us.push_back(silence.get_int64());
  }
  ICON_TRY(const auto* errors, json::get_array(object, "errors", kLoadErrorsMax));
  for (const auto& error : *errors)
    if (error.is_string()) report.errors.emplace_back(error.get_string());
  return report;
}

WindowStats::WindowStats(std::string name, std::size_t connections, std::int64_t now_us)
    : name_(std::move(name)), begin_us_(now_us), silences_us_(connections, 0) {}

void WindowStats::reply(std::size_t connection, std::int64_t now_us, std::int64_t rtt_us,
                        std::int64_t silence_us, std::int64_t silence_any_us) {
  if (rtts_us_.size() < kSamplesMax) rtts_us_.push_back(rtt_us);
  silence_any_us_ = std::max(silence_any_us_, silence_any_us);
  silence(connection, now_us, silence_us);
}

void WindowStats::silence(std::size_t connection, std::int64_t now_us, std::int64_t silence_us) {
  auto& longest = silences_us_[connection];
  longest = std::max(longest, silence_us);
  if (silence_us > silence_longest_us_) {
    silence_longest_us_ = silence_us;
    silence_begin_us_ = now_us - silence_us;
  }
}

void WindowStats::fill(LoadReport& report, std::int64_t now_us) const {
  report.window = name_;
  report.begin_us = begin_us_;
  report.end_us = now_us;
  report.rtt_us_p50 = percentile(rtts_us_, 50);
  report.rtt_us_p95 = percentile(rtts_us_, 95);
  report.rtt_us_max = percentile(rtts_us_, 100);
  report.silences_us = silences_us_;
  report.silence_begin_us = silence_begin_us_;
  report.silence_any_us = silence_any_us_;
}

}  // namespace icon::lab
