// A slot that is sold: locked, confirmed, metered, renewed, ended.
#include "tests/unit/supervisor/market_fixture.h"

namespace icon::supervisor {
namespace {

TEST_F(MarketTest, AReservationLocksAndLapsesByTheClock) {
  const auto envelope = offer(1'500);
  const auto bid = *wire::seal(icon_, bid_on(envelope));
  const auto reservation = *market_->reserve(bid, envelope);
  EXPECT_EQ(market_->reserve(bid, envelope)->digest(), reservation.digest());
  EXPECT_EQ(market_->free()->cpu_millis, 500);
  EXPECT_TRUE(journal_->leases()->front().state == "reserved");
  const auto id = journal_->leases()->front().lease_id;
  // Locked is not sold: it cannot be used, given back or looked at.
  EXPECT_EQ(market_->usable_lease(id, icon_.id()).error().code, Code::kConflict);
  EXPECT_EQ(code_of(market_->give_back(id, bid)), Code::kConflict);
  EXPECT_EQ(market_->documents(id).error().code, Code::kNotFound);
  EXPECT_EQ(code_of(market_->sell(bid, envelope)), Code::kConflict);
  clock_.advance(Market::kConfirmWithin);
  EXPECT_EQ(market_->confirm(reservation, confirmation_of(reservation)).error().code,
            Code::kExpired);
  ASSERT_TRUE(market_->expire());
  EXPECT_EQ(market_->free()->cpu_millis, 2'000);
  EXPECT_TRUE(journal_->leases()->empty());
  EXPECT_EQ(market_->confirm(reservation, confirmation_of(reservation)).error().code,
            Code::kNotFound);
  EXPECT_EQ(code_of(market_->reserve(bid, envelope)), Code::kConflict) << "its offer is used";
}

TEST_F(MarketTest, ConfirmedItIsALeaseAlsoTheSecondTime) {
  const auto reservation = *reserve(offer(1'500));
  const auto yes = confirmation_of(reservation);
  const auto sold = market_->confirm(reservation, yes);
  ASSERT_TRUE(sold) << sold.error().message;
  EXPECT_TRUE(open_lease(sold->lease).verified_bid());
  EXPECT_EQ(wire::open<wire::LeaseTerms>(sold->terms)->lease_id, open_lease(sold->lease).lease_id);
  EXPECT_EQ(market_->confirm(reservation, yes)->lease.digest(), sold->lease.digest());
  clock_.advance(Market::kConfirmWithin + Millis(1));
  ASSERT_TRUE(market_->expire());
  EXPECT_EQ(market_->free()->cpu_millis, 500);
}

// Who bought and never came holds nobody's slot up to its end; nothing is owed for it.
TEST_F(MarketTest, WhatNobodyComesForIsFreeAgain) {
  const auto reservation = *reserve(offer(1'500, 100));
  const auto sold = *market_->confirm(reservation, confirmation_of(reservation));
  const auto lease = open_lease(sold.lease);
  const auto terms = *wire::open<wire::LeaseTerms>(sold.terms);
  ASSERT_EQ(terms.start_within_ms, 50'000);
  clock_.advance(Millis(terms.start_within_ms - 1));
  ASSERT_TRUE(market_->expire());
  EXPECT_EQ(market_->free()->cpu_millis, 500);
  clock_.advance(Millis(1));
  ASSERT_TRUE(market_->expire());
  EXPECT_EQ(market_->free()->cpu_millis, 2'000);
  EXPECT_EQ(market_->usable_lease(lease.lease_id, icon_.id()).error().code, Code::kConflict);
  EXPECT_EQ(market_->present(lease.lease_id, icon_.id()).error().code, Code::kConflict);
  const auto bill = account(lease);
  EXPECT_EQ(bill.wrong, "");
  EXPECT_TRUE(bill.closed);
  EXPECT_EQ(bill.charged, 0);
  EXPECT_EQ(bill.refunded, lease.verified_bid()->price_ucredits);
  EXPECT_EQ(bill.penalty, 0);
}

TEST_F(MarketTest, WhoeverHasComeKeepsTheSlot) {
  const auto presented = take(offer(500, 1'000));
  const auto active = take(offer(500, 1'000));
  ASSERT_TRUE(market_->present(presented.lease_id, icon_.id()));
  ASSERT_TRUE(market_->activate(active.lease_id));
  const auto stranger = KeyPair::generate();
  EXPECT_EQ(market_->present(active.lease_id, stranger.id()).error().code, Code::kUnauthenticated);
  // Sold in one step, without terms: for nobody who has not come either.
  const auto sold = buy(offer(500, 1'000));
  ASSERT_TRUE(sold);
  clock_.advance(Millis(119'999));
  ASSERT_TRUE(market_->expire());
  EXPECT_EQ(market_->free()->cpu_millis, 500);
  clock_.advance(Millis(1));
  ASSERT_TRUE(market_->expire());
  EXPECT_EQ(market_->free()->cpu_millis, 1'000);
  clock_.advance(Millis(879'000));
  ASSERT_TRUE(market_->expire());
  EXPECT_EQ(market_->free()->cpu_millis, 1'000);
  ASSERT_TRUE(market_->release(presented.lease_id));
  EXPECT_EQ(market_->free()->cpu_millis, 1'500);
}

// An hour's slot is not locked for half an hour.
TEST_F(MarketTest, TheTimeForAFirstOrderIsBounded) {
  const auto reservation = *reserve(offer(100, 3'600));
  const auto sold = *market_->confirm(reservation, confirmation_of(reservation));
  EXPECT_EQ(wire::open<wire::LeaseTerms>(sold.terms)->start_within_ms, 120'000);
}

TEST_F(MarketTest, HostileConfirmations) {
  config_.capacity.memory_bytes = 100'000;
  const auto reservation = *reserve(offer(100));
  const auto other = *reserve(offer(100));
  const auto stranger = KeyPair::generate();
  const auto by_stranger = *wire::seal(
      stranger, wire::Confirmation{stranger.public_key(), reservation.digest(), clock_.utc_ms()});
  EXPECT_EQ(market_->confirm(reservation, by_stranger).error().code, Code::kUnauthenticated);
  EXPECT_EQ(market_->confirm(reservation, confirmation_of(other)).error().code, Code::kInvalid);
  auto forged = reservation;
  forged.body["confirm_until_ms"] = clock_.utc_ms() + 1'000'000;
  EXPECT_EQ(market_->confirm(forged, confirmation_of(forged)).error().code, Code::kNotFound);
  EXPECT_EQ(market_->confirm(confirmation_of(other), reservation).error().code, Code::kNotFound);
  // One ICON cannot lock a host's slots all alone.
  std::ptrdiff_t locked = 2;
  while (locked <= Market::kReservationsPerIconMax && reserve(offer(1))) ++locked;
  EXPECT_EQ(locked, Market::kReservationsPerIconMax);
  EXPECT_EQ(code_of(reserve(offer(1))), Code::kLimit);
}

TEST_F(MarketTest, MeteredUsageMakesTheBill) {
  const auto lease = take(offer(1'000, 1'000));  // 10,100 for 1,000 s
  ASSERT_TRUE(market_->activate(lease.lease_id));
  run_for(300);
  const auto so_far = account(lease);
  EXPECT_EQ(so_far.wrong, "");
  EXPECT_EQ(so_far.usages, 2);
  run_for(100);
  ASSERT_TRUE(market_->release(lease.lease_id));
  const auto bill = account(lease);
  EXPECT_EQ(bill.wrong, "");
  EXPECT_TRUE(bill.closed);
  EXPECT_EQ(bill.used_seconds, 400);
  EXPECT_EQ(bill.charged, 4'040);
  EXPECT_EQ(bill.refunded, 6'060);
  EXPECT_EQ(bill.penalty, 0);
}

// Counters of the kernel become figures of the bill, and never more than the slot can give.
TEST_F(MarketTest, UseIsMeteredAndBounded) {
  const auto lease = take(offer(1'000, 1'000));  // 1,000 bytes of memory, 100 bit/s
  used_ = {3'000'000, 5'000, 70, 40};            // before it began here
  ASSERT_TRUE(market_->activate(lease.lease_id));
  used_ = {30'000'000, 600, 500, 1};
  run_for(125);
  used_ = {500'000'000, 900, 1'000'000, 2};
  run_for(125);
  used_ = {0, 0, 0, 0};  // a counter that began anew is nothing that came back
  run_for(125);
  std::vector<wire::Usage> usages;
  const auto all = *market_->documents(lease.lease_id);
  for (const auto& document : all)
    if (auto usage = wire::open<wire::Usage>(*wire::parse_envelope(document)))
      usages.push_back(*usage);
  ASSERT_EQ(usages.size(), 3U);
  EXPECT_EQ(usages[0].cpu_ms, 30'000);
  EXPECT_EQ(usages[0].memory_bytes_max, 600);
  EXPECT_EQ(usages[0].sent_bytes, 500);
  EXPECT_EQ(usages[0].received_bytes, 1);
  EXPECT_EQ(usages[1].cpu_ms, 125'000);  // one core for 125 s
  EXPECT_EQ(usages[1].sent_bytes, 1'500);
  EXPECT_EQ(usages[2].cpu_ms, 0);
  EXPECT_EQ(account(lease).wrong, "");
}

TEST_F(MarketTest, TimeThatIsNotServedIsNotPaidAndOwesAPenalty) {
  const auto lease = take(offer(1'000, 1'000));
  ASSERT_TRUE(market_->activate(lease.lease_id));
  run_for(100);
  run_for(100, false);
  run_for(100);
  ASSERT_TRUE(market_->release(lease.lease_id));
  const auto bill = account(lease);
  EXPECT_EQ(bill.wrong, "");
  EXPECT_EQ(bill.used_seconds, 200);
  EXPECT_EQ(bill.charged, 2'020);
  EXPECT_EQ(bill.penalty, 979);  // of 99 % of 300 s, 97 s are missing, at 10.1 a second
}

TEST_F(MarketTest, ARenewalMovesTheEnd) {
  const auto lease = take(offer(1'000, 100));  // 1,100 for 100 s
  ASSERT_TRUE(market_->activate(lease.lease_id));
  run_for(50);
  const auto asked = renewal_of(lease, 1, 50, 600);
  EXPECT_EQ(code_of(renew(renewal_of(lease, 1, 50, 599))), Code::kRefused);
  EXPECT_EQ(code_of(renew(renewal_of(lease, 2, 50, 600))), Code::kConflict);
  const auto stranger = KeyPair::generate();
  EXPECT_EQ(code_of(market_->renew(*wire::seal(stranger, asked))), Code::kUnauthenticated);
  const auto renewed = renew(asked);
  ASSERT_TRUE(renewed) << renewed.error().message;
  EXPECT_EQ(renew(asked)->digest(), renewed->digest());
  run_for(90);
  EXPECT_TRUE(market_->expire()->empty());
  EXPECT_EQ(code_of(renew(renewal_of(lease, 2, 50, 600))), Code::kExpired);
  ASSERT_TRUE(market_->release(lease.lease_id));
  const auto bill = account(lease);
  EXPECT_EQ(bill.wrong, "");
  EXPECT_EQ(bill.used_seconds, 140);
  EXPECT_EQ(bill.charged, 1'100 + 480);
  EXPECT_EQ(bill.refunded, 120);
}

TEST_F(MarketTest, TheEndWaitsForTheGraceAndIsNotCharged) {
  const auto lease = take(offer(1'000, 100));
  ASSERT_TRUE(market_->activate(lease.lease_id));
  run_for(100);
  EXPECT_TRUE(market_->expire()->empty());
  EXPECT_EQ(market_->free()->cpu_millis, 1'000);
  run_for(25);
  EXPECT_EQ(market_->expire()->size(), 1U);
  EXPECT_EQ(market_->free()->cpu_millis, 2'000);
  const auto bill = account(lease);
  EXPECT_EQ(bill.wrong, "");
  EXPECT_EQ(bill.charged, 1'100);
}

TEST_F(MarketTest, ASupervisorThatWasDeadAtTheEndSettlesWhenItIsBack) {
  const auto lease = take(offer(1'000, 100));
  ASSERT_TRUE(market_->activate(lease.lease_id));
  run_for(70);
  clock_.advance(Millis(500'000));
  Market again(config_, provider_, clock_, *journal_);
  ASSERT_TRUE(again.meter([](const std::string&) { return Market::Sight{true, {}}; }));
  EXPECT_EQ(again.expire()->size(), 1U);
  const auto bill = account(lease);
  EXPECT_EQ(bill.wrong, "");
  EXPECT_EQ(bill.charged, 1'100);  // its container ran on, to the end of what was paid
}

}  // namespace
}  // namespace icon::supervisor
