#include "lab/demo_result.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

namespace icon::lab {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

LoadReport report(std::int64_t connections, std::int64_t rtt_us) {
  LoadReport made;
  made.connections = made.alive = connections;
  made.rtt_us_p50 = rtt_us;
  made.rtt_us_p95 = rtt_us + 1'000;
  made.total_replies.right = 100;
  made.silences_us.assign(static_cast<std::size_t>(connections), 70'000);
  return made;
}

NetworkResult network(const std::string& name, std::int64_t connections, std::int64_t before_us,
                      std::int64_t after_us) {
  return {name,
          report(connections, before_us),
          report(connections, before_us),
          report(connections, before_us * 2),
          report(connections, after_us),
          report(connections, before_us),
          report(connections, after_us)};
}

DemoResult good() {
  DemoResult result;
  result.networks = {network("users-b", 4, 110'000, 66'000), network("users-a", 12, 80'000, 4'000)};
  result.rejected = {{"dear", "transit.test", "too_dear", "too dear"},
                     {"liar", "ixp.test", "key_mismatch", "another key"}};
  result.to = "edge-a";
  result.budget_ucredits = 2'000'000;
  result.spent_ucredits = 80'000;
  return result;
}

const DemoExpectations kBoth{{"dear", "liar"}};

TEST(DemoResult, TheMovedUsersAreTheMany) {
  const auto result = good();
  ASSERT_NE(result.moved_users(), nullptr);
  EXPECT_EQ(result.moved_users()->name, "users-a");
  EXPECT_EQ(result.connections(), 16);
  EXPECT_EQ(DemoResult{}.moved_users(), nullptr);
}

TEST(DemoResult, NothingFailedWhenAllHolds) {
  EXPECT_THAT(failed_expectations(good(), kBoth), IsEmpty());
}

TEST(DemoResult, NamesEachExpectationThatFailed) {
  auto dead = good();
  dead.networks[0].end.alive = 3;
  EXPECT_THAT(failed_expectations(dead, kBoth), ElementsAre("all connections alive: 15 of 16 are"));
  auto lost = good();
  lost.networks[1].anew_end.total_replies.lost = 1;
  EXPECT_THAT(failed_expectations(lost, kBoth), ElementsAre(HasSubstr("1 lost")));
  auto slow = good();
  slow.networks[1].anew.rtt_us_p50 = 26'667;
  EXPECT_THAT(failed_expectations(slow, kBoth), ElementsAre(HasSubstr("80.0 ms before, 26.7")));
  auto fooled = good();
  fooled.rejected.pop_back();
  EXPECT_THAT(failed_expectations(fooled, kBoth),
              ElementsAre("provider liar is rejected: it was not"));
  auto broke = good();
  broke.spent_ucredits = 3'000'000;
  EXPECT_THAT(failed_expectations(broke, kBoth), ElementsAre(HasSubstr("within the budget")));
}

TEST(DemoResult, AnEmptyRunFailsEverything) {
  EXPECT_GE(failed_expectations(DemoResult{}, kBoth).size(), 5u);
}

TEST(DemoResult, JsonHasWhatMachinesAskFor) {
  const auto object = good().to_json();
  for (const auto* key :
       {"connections", "connections_alive", "replies_lost", "replies_duplicated", "gap_ms_p50",
        "gap_ms_max", "rtt_ms", "rejected", "spent_ucredits", "bytes_moved"})
    EXPECT_TRUE(object.contains(key)) << key;
  EXPECT_EQ(object.at("rtt_ms").at("before").at("p50").as_double(), 80.0);
  EXPECT_EQ(object.at("rtt_ms").at("after").at("p50").as_double(), 4.0);
  EXPECT_EQ(object.at("gap_ms_max").as_double(), 70.0);
  EXPECT_EQ(object.at("rejected").at(0).at("reason").as_string(), "too_dear");
}

TEST(DemoResult, TheSummaryShowsEachNetwork) {
  const auto text = good().summary();
  EXPECT_THAT(text, HasSubstr("users-a"));
  EXPECT_THAT(text, HasSubstr("16 of 16"));
  EXPECT_THAT(text, HasSubstr("0.08 credits of 2.00 credits"));
}

TEST(Texts, Money) {
  EXPECT_EQ(credits_text(0), "0.00 credits");
  EXPECT_EQ(credits_text(1), "0.000001 credits");
  EXPECT_EQ(credits_text(1'250'000), "1.25 credits");
  EXPECT_EQ(credits_text(-500'000), "-0.50 credits");
}

}  // namespace
}  // namespace icon::lab
