// Promised against delivered, over a clock of days: who keeps his word, who does not, and what is
// left of it after a restart.
#include "budget/promise_record.h"

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

#include "base/clock.h"

namespace icon::budget {
namespace {

const Prefix kUsers = *Prefix::parse("203.0.113.0/24");
const Prefix kOthers = *Prefix::parse("198.51.100.0/24");

class PromiseRecordTest : public ::testing::Test {
 protected:
  UtcMillis now() const { return clock_.utc_ms(); }
  // Ten connections at 80 ms are promised 5 ms by `id`.
  void arrive(const std::string& id, std::int64_t confidence = 80) {
    Promise promise;
    promise.provider_id = id;
    promise.provider_name = "p-" + id;
    promise.since_ms = now();
    promise.price_ucredits = 1'000;
    promise.prefixes = {{kUsers, 10, 80'000, 5'000, confidence}};
    record_.open(promise);
    record_.paid(1'000);
    clock_.advance(Millis(1));
  }
  std::optional<PromiseState> after(std::int64_t seconds, const std::string& id,
                                    std::int64_t rtt_us) {
    clock_.advance(Millis(seconds * 1'000));
    record_.saw(id, "", kUsers, rtt_us, now());
    return record_.judge({}, now());
  }

  FakeClock clock_;
  PromiseRecord record_;
};

TEST_F(PromiseRecordTest, AKeptPromiseIsJudgedOnceAfterItsWindow) {
  EXPECT_EQ(record_.trust("a", now()), 100);
  arrive("a");
  EXPECT_FALSE(after(10, "a", 6'000));
  EXPECT_EQ(after(120, "a", 6'000), PromiseState::kKept);
  EXPECT_FALSE(after(10, "a", 79'000)) << "said once";
  EXPECT_GE(record_.trust("a", now()), 98);
}

TEST_F(PromiseRecordTest, ABrokenOneCostsTrustAndIsForgivenSlowly) {
  arrive("liar");
  EXPECT_EQ(after(121, "liar", 79'000), PromiseState::kBroken);
  const auto during = record_.trust("liar", now());
  EXPECT_LT(during, 60);
  record_.close(now());
  EXPECT_EQ(record_.trust("liar", now()), during);
  const auto& row = record_.providers().at("liar");
  EXPECT_EQ(row.broken, 1);
  EXPECT_EQ(row.newest.promised_us, 5'000);
  EXPECT_EQ(row.newest.delivered_us, 79'000);
  EXPECT_EQ(record_.delivered("liar")->at(kUsers).rtt_us, 79'000);

  arrive("liar");
  EXPECT_EQ(after(121, "liar", 79'000), PromiseState::kBroken);
  EXPECT_LT(record_.trust("liar", now()), during);
  record_.close(now());
  const auto twice = record_.trust("liar", now());
  clock_.advance(Millis(kRecordHalfLifeMs));
  EXPECT_GT(record_.trust("liar", now()), twice);
  clock_.advance(Millis(60 * kRecordHalfLifeMs));
  EXPECT_EQ(record_.trust("liar", now()), 100);
}

TEST_F(PromiseRecordTest, AFailedGuessAccusesLessThanABrokenWord) {
  arrive("word", 90);
  (void)after(121, "word", 79'000);
  record_.close(now());
  arrive("guess", 20);
  (void)after(121, "guess", 79'000);
  record_.close(now());
  EXPECT_LT(record_.trust("word", now()), record_.trust("guess", now()));
  EXPECT_LT(record_.trust("guess", now()), 100);
}

TEST_F(PromiseRecordTest, NobodyToMeasureIsNoVerdict) {
  arrive("a");
  // Before the arrival, or other users: neither says anything.
  clock_.advance(Millis(300'000));
  record_.saw("a", "", kOthers, 1'000, now());
  EXPECT_FALSE(record_.judge({}, now()));
  EXPECT_EQ(after(1, "a", 40'000), PromiseState::kKept) << "53 of 100 of the gain";
  arrive("b");
  EXPECT_EQ(after(121, "b", 50'000), PromiseState::kBroken) << "40 of 100";
}

TEST_F(PromiseRecordTest, TimeDownAndMissingProcessorCount) {
  arrive("a");
  record_.passed(900'000, 100'000, {10'000'000, 5'000'000, 1'000'000});
  EXPECT_EQ(after(121, "a", 5'000), PromiseState::kKept);
  // All of the gain, half of the processor, nine tenths of the time.
  EXPECT_EQ(kept_permille(*record_.here()), 450);
  record_.paid(1'000);
  EXPECT_EQ(kept_permille(*record_.here()), 225) << "twice the price";
}

TEST_F(PromiseRecordTest, SurvivesARestart) {
  arrive("a");
  (void)after(121, "a", 79'000);
  record_.close(now());
  arrive("b");
  const auto text = boost::json::serialize(record_.to_json());
  const auto again = PromiseRecord::from_json(*json::parse_object(text, kRecordBytesMax));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->to_json(), record_.to_json());
  EXPECT_EQ(again->trust("a", now()), record_.trust("a", now()));
  EXPECT_EQ(again->here()->provider_id, "b");
}

TEST_F(PromiseRecordTest, StaysSmall) {
  for (int i = 0; i < 500; ++i) {
    arrive(std::to_string(i) + std::string(50, 'x'));
    for (std::uint32_t p = 0; p < 100; ++p)
      record_.saw(record_.here()->provider_id, "", Prefix::of(Address::v4(p << 8), 24), 1, now());
  }
  EXPECT_EQ(record_.providers().size(), kRecordProvidersMax);
  EXPECT_LE(boost::json::serialize(record_.to_json()).size(), kRecordBytesMax);
  auto broken = record_.to_json();
  broken["version"] = 2;
  EXPECT_FALSE(PromiseRecord::from_json(broken));
  broken = record_.to_json();
  broken["providers"].as_array()[0].as_object()["score"] = 1'000'000'000;
  EXPECT_FALSE(PromiseRecord::from_json(broken));
}

// The file travels through hosts of strangers: the largest figures that are read are still numbers
// when they are worked with, and are written so that they are read again.
TEST_F(PromiseRecordTest, TheLargestFiguresOnDiskAreStillFigures) {
  arrive("a");
  (void)after(121, "a", 79'000);
  auto object = record_.to_json();
  auto& here = object["here"].as_object();
  here["state"] = "open";
  for (auto& prefix : here["prefixes"].as_array())
    prefix.as_object()["connections"] = kRecordConnectionsMax;
  auto& provider = object["providers"].as_array()[0].as_object();
  for (const char* key : {"stays", "kept", "weight"}) provider[key] = kRecordCountMax;
  auto record = PromiseRecord::from_json(object);
  ASSERT_TRUE(record) << record.error().message;
  for (const auto& prefix : record->here()->prefixes)
    record->saw("a", "", prefix.prefix, std::int64_t{1} << 50, now());
  EXPECT_EQ(record->judge({}, now() + 1'000'000), PromiseState::kBroken);
  EXPECT_EQ(record->here()->delivered_us, kRttUsMax);
  record->close(now());
  EXPECT_TRUE(PromiseRecord::from_json(record->to_json()));
}

}  // namespace
}  // namespace icon::budget
