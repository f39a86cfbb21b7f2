#include "agent/lease_book.h"

#include <gtest/gtest.h>

#include "base/encoding.h"
#include "base/file.h"
#include "tests/unit/base/http_rig.h"

namespace icon::agent {
namespace {

constexpr UtcMillis kStart = 1'700'000'000'000;
constexpr std::int64_t kSlot = 100;  // seconds
constexpr wire::MicroCredits kPrice = 10'000;

class LeaseBookTest : public ::testing::Test {
 protected:
  LeaseBookTest() {
    wire::Bid bid;
    bid.icon = icon_.public_key();
    bid.provider = provider_.public_key();
    bid.offer_digest = std::string(64, 'a');
    bid.slot_seconds = kSlot;
    bid.price_ucredits = kPrice;
    bid.epoch = 2;
    bid.nonce = "nonce";
    bid.issued_ms = kStart;
    bid.expires_ms = kStart + 1'000;
    wire::Lease lease;
    lease.lease_id = "lease";
    lease.provider = provider_.public_key();
    lease.bid = *wire::seal(icon_, bid);
    lease.issued_ms = lease.start_ms = kStart;
    lease.expires_ms = kStart + kSlot * 1000;
    lease_ = *wire::seal(provider_, lease);
    terms_ = *wire::seal(provider_, wire::LeaseTerms{provider_.public_key(), "lease", 990, 1'000,
                                                     20'000, 10'000, kStart});
  }
  Status arrive(UtcMillis now_ms) {
    return book_.arrived(lease_, icon_.public_key(), "edge", *Endpoint::parse("192.0.2.1:7946"),
                         now_ms);
  }
  wire::Envelope renewal(std::int64_t sequence) {
    return *wire::seal(icon_, wire::Renewal{icon_.public_key(), provider_.public_key(), "lease",
                                            sequence, kSlot, 2'000, kStart, kStart + 30'000});
  }
  wire::Envelope granted(const wire::Envelope& asked, std::int64_t times) {
    return *wire::seal(provider_, wire::RenewedLease{provider_.public_key(), asked, kStart + 1'000,
                                                     kStart + (times + 1) * kSlot * 1000});
  }
  wire::Envelope usage(std::int64_t seconds, const KeyPair& by) {
    wire::Usage usage;
    usage.provider = by.public_key();
    usage.icon = icon_.public_key();
    usage.lease_id = "lease";
    usage.sequence = 1;
    usage.previous = lease_.digest();
    usage.from_ms = kStart;
    usage.to_ms = kStart + seconds * 1000;
    usage.served_ms = seconds * 1000;
    usage.total_ucredits = kPrice * seconds / kSlot;
    usage.issued_ms = usage.to_ms;
    return *wire::seal(by, usage);
  }
  wire::Envelope receipt(std::int64_t used, wire::MicroCredits charged, wire::MicroCredits back) {
    wire::Receipt receipt;
    receipt.provider = provider_.public_key();
    receipt.icon = icon_.public_key();
    receipt.lease_id = "lease";
    receipt.used_seconds = used;
    receipt.charged_ucredits = charged;
    receipt.refunded_ucredits = back;
    receipt.issued_ms = kStart + used * 1000;
    return *wire::seal(provider_, receipt);
  }

  test::TempDir directory_;
  KeyPair icon_ = KeyPair::generate();
  KeyPair provider_ = KeyPair::generate();
  wire::Envelope lease_;
  wire::Envelope terms_;
  LeaseBook book_{directory_ / "leases.json"};
};

TEST_F(LeaseBookTest, IsReadAsItWasWritten) {
  ASSERT_TRUE(book_.load());  // none yet
  ASSERT_TRUE(arrive(kStart + 10));
  auto* here = book_.here();
  ASSERT_NE(here, nullptr);
  ASSERT_TRUE(read_papers(*here, {lease_, terms_, granted(renewal(1), 1)}, kStart + 2'000));
  here->asked = renewal(2);
  ASSERT_TRUE(book_.save());
  LeaseBook again(directory_ / "leases.json");
  ASSERT_TRUE(again.load());
  ASSERT_EQ(again.all().size(), 1U);
  const auto* read = again.here();
  ASSERT_NE(read, nullptr);
  EXPECT_EQ(read->status_json(), here->status_json());
  EXPECT_EQ(read->papers.size(), 3U);
  EXPECT_EQ(read->asked->digest(), here->asked->digest());
  EXPECT_EQ(read->paid_total(), kPrice + 2'000);
  EXPECT_EQ(read->paid[0].hold, "nonce");
  EXPECT_EQ(read->paid[1].hold, renewal_hold(renewal(1)));
  ASSERT_TRUE(
      write_file_atomic(directory_ / "leases.json", R"({"version":1,"leases":[{}]})", 0600));
  EXPECT_FALSE(again.load());
}

TEST_F(LeaseBookTest, ArrivingAgainChangesNothingAndAnotherPlaceEndsIt) {
  ASSERT_TRUE(arrive(kStart));
  ASSERT_TRUE(arrive(kStart + 5'000));
  EXPECT_EQ(book_.all().size(), 1U);
  const auto strangers = KeyPair::generate();
  EXPECT_FALSE(book_.arrived(lease_, strangers.public_key(), "edge",
                             *Endpoint::parse("192.0.2.1:7946"), kStart));
  ASSERT_TRUE(book_.arrived(std::nullopt, icon_.public_key(), "home", {}, kStart + 9'000));
  EXPECT_EQ(book_.here(), nullptr);
  EXPECT_EQ(book_.all()[0].state, Tenancy::State::kLeft);
  EXPECT_EQ(book_.all()[0].left_ms, kStart + 9'000);
}

TEST_F(LeaseBookTest, AGapIsNotPresence) {
  ASSERT_TRUE(arrive(kStart));
  book_.ticked(kStart + 5'000);
  book_.ticked(kStart + 35'000);
  EXPECT_EQ(book_.here()->present_ms(kStart + 40'000), 10'000);
}

TEST_F(LeaseBookTest, PapersOfSomebodyElseChangeNothing) {
  ASSERT_TRUE(arrive(kStart));
  auto& here = *book_.here();
  const auto before = here.status_json();
  EXPECT_FALSE(read_papers(here, {}, kStart));
  EXPECT_FALSE(read_papers(here, {terms_}, kStart));
  auto forged = terms_;
  forged.body["grace_ms"] = 1;
  EXPECT_FALSE(read_papers(here, {lease_, forged}, kStart));
  EXPECT_EQ(here.status_json(), before);
  // A usage that another has signed is no forgery, but makes the bill wrong.
  ASSERT_TRUE(read_papers(here, {lease_, terms_, usage(5, KeyPair::generate())}, kStart + 9'000));
  EXPECT_NE(here.dispute, "");
}

TEST_F(LeaseBookTest, AReplacedUsageIsNoticed) {
  ASSERT_TRUE(arrive(kStart));
  auto& here = *book_.here();
  ASSERT_TRUE(read_papers(here, {lease_, terms_, usage(50, provider_)}, kStart + 50'000));
  EXPECT_EQ(here.dispute, "");
  EXPECT_EQ(here.charged, 5'000);
  ASSERT_TRUE(read_papers(here, {lease_, terms_, usage(40, provider_)}, kStart + 50'000));
  EXPECT_NE(here.dispute, "");
}

TEST_F(LeaseBookTest, ChargedForMoreThanItWasThere) {
  ASSERT_TRUE(arrive(kStart));
  ASSERT_TRUE(book_.arrived(std::nullopt, icon_.public_key(), "home", {}, kStart + 30'000));
  auto left = book_.all()[0];
  ASSERT_TRUE(read_papers(left, {lease_, terms_, receipt(40, 4'000, 6'000)}, kStart + 99'000));
  EXPECT_EQ(left.dispute, "") << "the slack";
  left = book_.all()[0];
  ASSERT_TRUE(read_papers(left, {lease_, terms_, receipt(46, 4'600, 5'400)}, kStart + 99'000));
  EXPECT_EQ(left.dispute, "46 s are charged, we were there for 30 s");
  left = book_.all()[0];
  ASSERT_TRUE(read_papers(left, {lease_, terms_, receipt(40, 5'000, 5'000)}, kStart + 99'000));
  EXPECT_NE(left.dispute, "") << "the sum";
}

TEST_F(LeaseBookTest, WhatComesBackIsOfTheLastPaymentFirst) {
  ASSERT_TRUE(arrive(kStart));
  auto& here = *book_.here();
  ASSERT_TRUE(read_papers(here, {lease_, terms_, granted(renewal(1), 1), receipt(50, 5'000, 7'000)},
                          kStart + 50'000));
  EXPECT_EQ(here.dispute, "");
  const auto back = refunds_of(here);
  ASSERT_EQ(back.size(), 2U);
  EXPECT_EQ(back[1].amount, 2'000);
  EXPECT_EQ(back[0].amount, 5'000);
}

TEST_F(LeaseBookTest, TimesOfALeaseAndOfAShortOne) {
  ASSERT_TRUE(arrive(kStart));
  auto& here = *book_.here();
  ASSERT_TRUE(read_papers(here, {lease_, terms_}, kStart));
  const auto times = renewal_times(here, 1'000, 3);
  EXPECT_EQ(times.until_ms, kStart + 80'000);
  EXPECT_EQ(times.look_ms, kStart + 75'000);
  EXPECT_EQ(times.ask_ms, kStart + 78'750);
  EXPECT_EQ(times.end_ms, kStart + 100'000);
  EXPECT_EQ(times.clear_ms, kStart + 110'000);
  // Never more than half of the slot.
  EXPECT_EQ(renewal_times(here, 600'000, 3).look_ms, kStart + 40'000);
}

TEST(RenewalChoice, ByPriceMoneyAndWorth) {
  RenewalView view{Renew::kKeep, 100, std::nullopt, 100, 0};
  EXPECT_TRUE(choose_renewal(view).renew);
  view.available = 99;
  EXPECT_EQ(choose_renewal(view).reason, "no_money");
  view.price_max = 50;
  EXPECT_EQ(choose_renewal(view).reason, "too_dear");
  view = {Renew::kWorth, 100, std::nullopt, 1'000, 99};
  EXPECT_EQ(choose_renewal(view).reason, "not_worth_it");
  view.worth = 100;
  EXPECT_TRUE(choose_renewal(view).renew);
  view.price.reset();
  EXPECT_EQ(choose_renewal(view).reason, "not_for_sale");
  view.mode = Renew::kNever;
  EXPECT_EQ(choose_renewal(view).reason, "never");
}

TEST(RenewalSeconds, LongerTheLongerItStays) {
  Tenancy tenancy;
  tenancy.slot_seconds = 60;
  EXPECT_EQ(renewal_seconds(tenancy), 60);
  tenancy.renewals = 16;
  EXPECT_EQ(renewal_seconds(tenancy), 120);
  tenancy.renewals = 1'000;
  EXPECT_EQ(renewal_seconds(tenancy), 60 * 256);
  tenancy.slot_seconds = wire::kSlotSecondsMax;
  EXPECT_EQ(renewal_seconds(tenancy), wire::kSlotSecondsMax);
}

}  // namespace
}  // namespace icon::agent
