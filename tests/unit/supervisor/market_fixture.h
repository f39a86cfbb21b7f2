// A host that sells slots, on a clock of the test's.
#pragma once

#include <gtest/gtest.h>

#include "base/encoding.h"
#include "budget/lease/record.h"
#include "supervisor/market.h"
#include "tests/unit/base/http_rig.h"

namespace icon::supervisor {

class MarketTest : public ::testing::Test {
 protected:
  MarketTest() : provider_(KeyPair::generate()), icon_(KeyPair::generate()) {
    config_.provider_name = "p";
    config_.api = *Endpoint::parse("192.0.2.1:7946");
    config_.capacity = {2'000, 4'000, 1'000};
    config_.prices = {100, 10, 0, 0};
    journal_ = std::move(*Journal::open(directory_ / "journal.db"));
    market_ = std::make_unique<Market>(config_, provider_, clock_, *journal_);
  }

  wire::Envelope offer(std::int64_t cpu_millis = 1'000, std::int64_t seconds = 100) {
    auto envelope = market_->offer(random_token(8), {cpu_millis, 1'000, 100}, seconds);
    EXPECT_TRUE(envelope) << envelope.error().message;
    return *envelope;
  }
  wire::Bid bid_on(const wire::Envelope& envelope) {
    const auto offer = *wire::open<wire::Offer>(envelope);
    wire::Bid bid;
    bid.icon = icon_.public_key();
    bid.provider = offer.provider;
    bid.offer_digest = envelope.digest();
    bid.resources = offer.resources;
    bid.slot_seconds = offer.slot_seconds;
    bid.price_ucredits = offer.price_ucredits;
    bid.epoch = 2;
    bid.nonce = random_token(8);
    bid.issued_ms = clock_.utc_ms();
    bid.expires_ms = bid.issued_ms + 30'000;
    return bid;
  }
  Result<wire::Envelope> buy(const wire::Envelope& envelope) {
    return market_->sell(*wire::seal(icon_, bid_on(envelope)), envelope);
  }
  wire::Envelope confirmation_of(const wire::Envelope& reservation) {
    return *wire::seal(
        icon_, wire::Confirmation{icon_.public_key(), reservation.digest(), clock_.utc_ms()});
  }
  Result<wire::Envelope> reserve(const wire::Envelope& envelope) {
    return market_->reserve(*wire::seal(icon_, bid_on(envelope)), envelope);
  }
  // Reserved and confirmed.
  wire::Lease take(const wire::Envelope& envelope) {
    const auto reservation = *reserve(envelope);
    const auto sold = market_->confirm(reservation, confirmation_of(reservation));
    EXPECT_TRUE(sold) << sold.error().message;
    return open_lease(sold->lease);
  }
  wire::Renewal renewal_of(const wire::Lease& lease, std::int64_t sequence, std::int64_t seconds,
                           wire::MicroCredits price) {
    const auto now = clock_.utc_ms();
    return {
        icon_.public_key(), provider_.public_key(), lease.lease_id, sequence, seconds, price, now,
        now + 30'000};
  }
  Result<wire::Envelope> renew(const wire::Renewal& renewal) {
    return market_->renew(*wire::seal(icon_, renewal));
  }
  // What its documents say the bill is.
  budget::lease::Account account(const wire::Lease& lease) {
    std::vector<wire::Envelope> documents;
    const auto all = *market_->documents(lease.lease_id);
    for (const auto& document : all) documents.push_back(*wire::parse_envelope(document));
    const auto accounts = budget::lease::accounts_of(documents);
    EXPECT_TRUE(accounts) << accounts.error().message;
    return accounts ? accounts->front() : budget::lease::Account{};
  }
  void run_for(std::int64_t seconds, bool serves = true) {
    for (std::int64_t i = 0; i < seconds; ++i) {
      clock_.advance(Millis(1'000));
      EXPECT_TRUE(market_->meter([&](const std::string&) { return Market::Sight{serves, used_}; }));
    }
  }
  static Code code_of(const Result<wire::Envelope>& result) {
    return result ? Code::kInternal : result.error().code;
  }
  wire::Lease open_lease(const wire::Envelope& envelope) {
    return *wire::open<wire::Lease>(envelope);
  }

  test::TempDir directory_;
  FakeClock clock_;
  Consumption used_;
  Config config_;
  KeyPair provider_;
  KeyPair icon_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Market> market_;
};

}  // namespace icon::supervisor
