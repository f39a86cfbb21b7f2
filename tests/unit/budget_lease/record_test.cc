#include "budget/lease/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/budget_lease/sample_tenancy.h"

namespace icon::budget::lease {
namespace {

using ::testing::HasSubstr;

class RecordTest : public testing::Test {
 protected:
  Account account() {
    const auto accounts = accounts_of(sample_.documents);
    EXPECT_TRUE(accounts) << accounts.error().message;
    EXPECT_EQ(accounts->size(), 1u);
    return accounts->at(0);
  }
  SampleTenancy sample_;
};

TEST_F(RecordTest, ALeaseAndItsReceipt) {
  EXPECT_EQ(account().wrong, "");
  EXPECT_FALSE(account().closed);
  sample_.receipt(250, 250'000, 750'000);
  EXPECT_EQ(account().wrong, "");
  EXPECT_TRUE(account().closed);
  EXPECT_EQ(account().charged, 250'000);
}

TEST_F(RecordTest, MeteredRenewedAndClosed) {
  sample_.terms();
  sample_.renew(sample_.renewal(1, 800'000), 1'500'000);
  sample_.meter(0, 600'000, 600'000, 600'000);
  sample_.meter(600'000, 1'000'000, 400'000, 1'000'000);
  sample_.meter(1'000'000, 1'100'000, 99'500, 1'200'000);  // 100 s begun, at twice the rate
  sample_.receipt(1'100, 1'200'000, 800'000);
  const auto found = account();
  EXPECT_EQ(found.wrong, "");
  EXPECT_EQ(found.renewals, 1);
  EXPECT_EQ(found.usages, 3);
  EXPECT_EQ(found.price, 2'000'000);
  EXPECT_EQ(found.expires_ms, SampleTenancy::kStart + 1'500'000);
  EXPECT_EQ(found.penalty, 0) << "99.95 % was served";
  std::reverse(sample_.documents.begin(), sample_.documents.end());
  EXPECT_EQ(account().wrong, "") << "in any order";
}

TEST_F(RecordTest, TimeThatWasNotServedIsPaidBack) {
  sample_.terms();
  sample_.meter(0, 500'000, 300'000, 300'000);
  // The provider says nothing of 100 s: they count as not served.
  sample_.meter(600'000, 1'000'000, 400'000, 700'000);
  sample_.receipt(700, 700'000, 300'000);
  // 990 s promised, 290 missing, twice their price.
  EXPECT_THAT(account().wrong, HasSubstr("owes a penalty of 0.58 credits"));
  sample_.penalty(580'000);
  EXPECT_EQ(account().wrong, "");
  EXPECT_EQ(account().penalty, 580'000);
}

TEST_F(RecordTest, APenaltyThatIsTooSmall) {
  sample_.terms();
  sample_.meter(0, 1'000'000, 700'000, 700'000);
  sample_.penalty(1);
  EXPECT_THAT(account().wrong, HasSubstr("a penalty of 0.000001 credits, 0.58 are owed"));
}

TEST_F(RecordTest, NeverMoreBackThanWasCharged) {
  sample_.terms();
  sample_.meter(0, 1'000'000, 100'000, 100'000);
  EXPECT_EQ(account().penalty, 100'000);
}

TEST_F(RecordTest, WrongSums) {
  sample_.receipt(250, 250'001, 749'999);
  EXPECT_THAT(account().wrong, HasSubstr("charges 0.250001 credits, the time costs 0.25"));
  sample_ = SampleTenancy();
  sample_.receipt(250, 250'000, 0);
  EXPECT_THAT(account().wrong, HasSubstr("0.75 were not used"));
  sample_ = SampleTenancy();
  sample_.receipt(1'001, 1'000'000, 0);
  EXPECT_THAT(account().wrong, HasSubstr("more time than was leased"));
  sample_ = SampleTenancy();
  sample_.meter(0, 10'000, 10'000, 10'001);
  EXPECT_THAT(account().wrong, HasSubstr("usage 1 says"));
  sample_ = SampleTenancy();
  sample_.meter(0, 10'000, 10'000, 10'000);
  sample_.receipt(11, 11'000, 989'000);
  EXPECT_THAT(account().wrong, HasSubstr("counts 11 s, the usage 10 s"));
}

// The slot: half a core, 256 MiB, 10 Mbit/s.
TEST_F(RecordTest, NoSlotGivesMoreThanItHas) {
  const auto metered = [&](auto change) {
    sample_ = SampleTenancy();
    auto usage = sample_.usage(0, 10'000, 10'000, 10'000);
    change(usage);
    sample_.documents.push_back(*wire::seal(sample_.provider, usage));
    return account().wrong;
  };
  const auto* const most = "counts more than the slot can give";
  EXPECT_EQ(metered([](auto& usage) {
              usage.cpu_ms = 5'000;
              usage.memory_bytes_max = 256 << 20;
              usage.sent_bytes = usage.received_bytes = 12'500'000;
            }),
            "");
  EXPECT_THAT(metered([](auto& usage) { usage.cpu_ms = 5'001; }), HasSubstr(most));
  EXPECT_THAT(metered([](auto& usage) { usage.memory_bytes_max = (256 << 20) + 1; }),
              HasSubstr(most));
  EXPECT_THAT(metered([](auto& usage) { usage.sent_bytes = 12'500'001; }), HasSubstr(most));
  EXPECT_THAT(metered([](auto& usage) { usage.received_bytes = 12'500'001; }), HasSubstr(most));
}

TEST_F(RecordTest, UsageIsAChain) {
  sample_.meter(0, 10'000, 10'000, 10'000);
  sample_.meter(9'000, 20'000, 10'000, 20'000);
  EXPECT_THAT(account().wrong, HasSubstr("counts time twice"));
  sample_ = SampleTenancy();
  sample_.meter(0, 10'000, 10'000, 10'000);
  sample_.meter(10'000, 20'000, 10'000, 20'000);
  auto kept = sample_.documents;
  sample_.documents.erase(sample_.documents.begin() + 1);
  EXPECT_THAT(account().wrong, HasSubstr("one is missing"));
  sample_ = SampleTenancy();
  sample_.meter(990'000, 1'010'000, 10'000, 10'000);
  EXPECT_THAT(account().wrong, HasSubstr("outside of what was leased"));
}

TEST_F(RecordTest, TwoWordsOnOneThing) {
  sample_.meter(0, 10'000, 10'000, 10'000);
  auto other = *wire::Usage::from_json(sample_.documents.back().body);
  other.cpu_ms = 77;
  sample_.documents.push_back(*wire::seal(sample_.provider, other));
  EXPECT_THAT(account().wrong, HasSubstr("differ"));
}

TEST_F(RecordTest, RenewalsInTimeAndInOrder) {
  sample_.terms();
  sample_.renew(sample_.renewal(1, 900'001), 1'500'000);
  EXPECT_THAT(account().wrong, HasSubstr("earlier"));
  sample_ = SampleTenancy();
  sample_.renew(sample_.renewal(2, 100), 1'500'000);
  EXPECT_THAT(account().wrong, HasSubstr("does not follow"));
  sample_ = SampleTenancy();
  sample_.renew(sample_.renewal(1, 100), 1'400'000);
  EXPECT_THAT(account().wrong, HasSubstr("another time than was asked for"));
}

TEST_F(RecordTest, ForgeriesAndOrphansAreErrors) {
  auto documents = sample_.documents;
  documents[0].signature[0] ^= 1;
  EXPECT_EQ(accounts_of(documents).error().code, Code::kUnauthenticated);
  sample_.receipt(1, 1'000, 999'000);
  documents = sample_.documents;
  documents.erase(documents.begin());
  EXPECT_THAT(accounts_of(documents).error().message, HasSubstr("itself is missing"));
  const SampleTenancy another;
  documents = sample_.documents;
  documents.push_back(another.lease());
  EXPECT_THAT(accounts_of(documents).error().message, HasSubstr("two leases"));
}

TEST_F(RecordTest, AnotherProvidersReceiptIsNoReceipt) {
  const auto stranger = KeyPair::generate();
  sample_.documents.push_back(
      *wire::seal(stranger, wire::Receipt{stranger.public_key(), sample_.icon.public_key(),
                                          "lease-1", 1, 1'000, 999'000, SampleTenancy::kStart}));
  EXPECT_THAT(account().wrong, HasSubstr("the receipt is another's"));
}

TEST(BillTest, RoundsUpAndNeverAboveThePrice) {
  EXPECT_EQ(charge(Segment{0, 3, 100, 1}), 34);
  EXPECT_EQ(charge(Segment{0, 3, 100, 2'001}), 100);
  EXPECT_EQ(charge(Segment{0, 3, 100, 99'000}), 100);
  EXPECT_EQ(charge(Segment{0, 3, 100, 0}), 0);
  EXPECT_EQ(
      charge(Segment{0, wire::kSlotSecondsMax, kMicroCreditsMax, wire::kSlotSecondsMax * 1000}),
      kMicroCreditsMax);
}

}  // namespace
}  // namespace icon::budget::lease
