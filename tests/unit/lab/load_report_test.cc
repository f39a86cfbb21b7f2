#include "lab/load_report.h"

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

namespace icon::lab {
namespace {

TEST(Percentile, NearestRank) {
  EXPECT_EQ(percentile({}, 50), 0);
  EXPECT_EQ(percentile({7}, 50), 7);
  EXPECT_EQ(percentile({4, 1, 3, 2}, 50), 2);
  EXPECT_EQ(percentile({4, 1, 3, 2}, 100), 4);
  EXPECT_EQ(percentile({4, 1, 3, 2}, 1), 1);
}

TEST(WindowStats, KeepsTheLongestSilenceOfEachConnection) {
  WindowStats window("move", 2, 1'000'000);
  window.reply(0, 1'100'000, 900, 50'000, 20'000);
  window.reply(0, 1'200'000, 1'100, 40'000, 30'000);
  window.reply(1, 1'300'000, 1'000, 120'000, 10'000);
  window.silence(1, 1'400'000, 100'000);
  LoadReport report;
  window.fill(report, 1'500'000);
  EXPECT_EQ(report.window, "move");
  EXPECT_EQ(report.begin_us, 1'000'000);
  EXPECT_EQ(report.end_us, 1'500'000);
  EXPECT_EQ(report.silences_us, (std::vector<std::int64_t>{50'000, 120'000}));
  EXPECT_EQ(report.silence_begin_us, 1'180'000);
  EXPECT_EQ(report.silence_any_us, 30'000);
  EXPECT_EQ(report.rtt_us_p50, 1'000);
  EXPECT_EQ(report.rtt_us_max, 1'100);
}

TEST(LoadReport, TravelsAsJson) {
  LoadReport report;
  report.window = "before";
  report.connections = 2;
  report.alive = 1;
  report.total_replies = {.right = 9, .lost = 1, .duplicated = 2, .reordered = 3, .wrong = 4};
  report.rtt_us_p50 = 160'000;
  report.silences_us = {10, 30};
  report.errors = {"connection 1: closed by the service"};
  const auto text = boost::json::serialize(report.to_json());
  const auto object = json::parse_object(text, 1 << 20);
  ASSERT_TRUE(object.has_value());
  const auto back = LoadReport::from_json(*object);
  ASSERT_TRUE(back.has_value()) << back.error().message;
  EXPECT_EQ(boost::json::serialize(back->to_json()), text);
  EXPECT_EQ(back->silence_us_max(), 30);
  EXPECT_EQ(back->total_replies, report.total_replies);
}

TEST(LoadReport, RefusesAHole) {
  const auto object = json::parse_object(R"({"window":"x"})", 1024);
  ASSERT_TRUE(object.has_value());
  EXPECT_FALSE(LoadReport::from_json(*object).has_value());
}

}  // namespace
}  // namespace icon::lab
