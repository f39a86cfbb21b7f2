#include "simulate/events.h"

#include <gtest/gtest.h>

#include "simulate/tally.h"

namespace icon::simulate {
namespace {

TEST(Events, ByTimeAndThenInTheOrderOfTheirMaking) {
  Events events;
  events.at(20, {Happening::Kind::kRound, 1, 0});
  events.at(10, {Happening::Kind::kRound, 2, 0});
  events.at(20, {Happening::Kind::kHour, 3, 0});
  events.at(10, {Happening::Kind::kRound, 4, 0});
  std::vector<std::uint32_t> subjects;
  while (!events.empty()) subjects.push_back(events.pop().subject);
  EXPECT_EQ(subjects, (std::vector<std::uint32_t>{2, 4, 1, 3}));
}

TEST(RttTally, PercentilesAreWeightedByUsersAndTime) {
  RttTally tally;
  EXPECT_EQ(tally.percentile_us(50), 0);
  tally.add(10'000, 3, 1'000);
  tally.add(90'050, 1, 1'000);
  EXPECT_EQ(tally.percentile_us(50), 10'000);
  EXPECT_EQ(tally.percentile_us(95), 90'100);
  EXPECT_EQ(tally.within_permille(20'000), 750);
  RttTally other;
  other.add(5'000'000, 4, 1'000);  // as far as the tally looks: a second
  tally.add(other);
  EXPECT_EQ(tally.percentile_us(95), 1'000'000);
  EXPECT_EQ(tally.connection_ms(), 8'000);
}

}  // namespace
}  // namespace icon::simulate
