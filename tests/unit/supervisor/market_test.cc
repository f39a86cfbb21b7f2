#include "supervisor/market_rules.h"
#include "tests/unit/supervisor/market_fixture.h"

namespace icon::supervisor {
namespace {

TEST_F(MarketTest, OfferNamesPriceAndNonce) {
  const auto envelope = market_->offer("abc", {1'000, 1'000, 0}, 100);
  const auto offer = *wire::open<wire::Offer>(*envelope);
  EXPECT_EQ(offer.nonce, "abc");
  EXPECT_EQ(offer.price_ucredits, 100 + 1'000);
  EXPECT_EQ(offer.expires_ms - offer.issued_ms, 60'000);
  EXPECT_EQ(code_of(market_->offer("abc", {3'000, 0, 0}, 100)), Code::kLimit);
  EXPECT_EQ(code_of(market_->offer("abc", {1, 0, 0}, 0)), Code::kInvalid);
  EXPECT_EQ(code_of(market_->offer("a b", {1, 0, 0}, 1)), Code::kInvalid);
  config_.accept_leases = false;
  EXPECT_EQ(code_of(market_->offer("abc", {1, 0, 0}, 1)), Code::kRefused);
}

TEST_F(MarketTest, ACordonedHostTakesNothingNew) {
  const auto before = offer();
  const auto late = offer();
  const auto reserved = *reserve(before);
  const auto lease = take(offer());
  EXPECT_FALSE(*market_->cordoned());
  EXPECT_EQ(market_->cordon(std::string(200, 'x')).error().code, Code::kInvalid);
  EXPECT_EQ(market_->cordon("a\nb").error().code, Code::kInvalid);
  ASSERT_TRUE(market_->cordon("new kernel"));
  const auto since_ms = (*market_->cordoned())->since_ms;
  // Also after a restart.
  market_ = std::make_unique<Market>(config_, provider_, clock_, *journal_);
  const auto refused = market_->offer("n", {500, 500, 500}, 100);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kRefused);
  EXPECT_EQ(refused.error().message, "this host is cordoned and takes nothing new: new kernel");
  EXPECT_EQ(reserve(late).error().code, Code::kRefused);
  EXPECT_EQ(buy(late).error().code, Code::kRefused);
  // What was promised before is kept to.
  EXPECT_TRUE(market_->confirm(reserved, confirmation_of(reserved)));
  EXPECT_TRUE(market_->usable_lease(lease.lease_id, icon_.id()));
  EXPECT_TRUE(market_->activate(lease.lease_id));
  clock_.advance(Millis(5));
  ASSERT_TRUE(market_->cordon("other words"));
  EXPECT_EQ((*market_->cordoned())->since_ms, since_ms);
  EXPECT_EQ((*market_->cordoned())->reason, "other words");
  ASSERT_TRUE(market_->uncordon());
  EXPECT_EQ(market_->offer("n", {500, 500, 500}, 100).error().code, Code::kLimit);  // it is full
}

TEST_F(MarketTest, LeaseHoldsCapacity) {
  const auto first = buy(offer(1'500));
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_TRUE(open_lease(*first).verified_bid());
  EXPECT_EQ(market_->free()->cpu_millis, 500);
  // An offer of before the sale: its room is gone.
  const auto lease_id = open_lease(*first).lease_id;
  EXPECT_EQ(code_of(market_->offer("n", {600, 0, 0}, 10)), Code::kLimit);
  ASSERT_TRUE(market_->release(lease_id));
  EXPECT_EQ(market_->free()->cpu_millis, 2'000);
}

TEST_F(MarketTest, TwoOffersOneRoom) {
  const auto one = offer(1'500);
  const auto two = offer(1'500);
  EXPECT_TRUE(buy(one));
  EXPECT_EQ(code_of(buy(two)), Code::kLimit);
}

TEST_F(MarketTest, TheSameBidGetsTheSameLease) {
  const auto envelope = offer(100);
  const auto bid = *wire::seal(icon_, bid_on(envelope));
  const auto first = market_->sell(bid, envelope);
  const auto again = market_->sell(bid, envelope);
  ASSERT_TRUE(first && again);
  EXPECT_EQ(first->digest(), again->digest());
  EXPECT_EQ(market_->free()->cpu_millis, 1'900);
  ASSERT_TRUE(market_->release(open_lease(*first).lease_id));
  EXPECT_EQ(code_of(market_->sell(bid, envelope)), Code::kConflict);
}

TEST_F(MarketTest, AnOfferIsUsedOnce) {
  const auto envelope = offer(100);
  EXPECT_TRUE(buy(envelope));
  EXPECT_EQ(code_of(buy(envelope)), Code::kConflict);
}

TEST_F(MarketTest, ExpiredOfferAndExpiredBid) {
  const auto envelope = offer(100);
  const auto bid = *wire::seal(icon_, bid_on(envelope));
  clock_.advance(Millis(31'000));
  EXPECT_EQ(code_of(market_->sell(bid, envelope)), Code::kExpired);
  clock_.advance(Millis(30'000));
  EXPECT_EQ(code_of(buy(envelope)), Code::kExpired);
}

TEST_F(MarketTest, BidsThatDoNotFit) {
  const auto envelope = offer(100);
  const auto sell = [&](auto change, const KeyPair& signer) {
    auto bid = bid_on(envelope);
    change(bid);
    return code_of(market_->sell(*wire::seal(signer, bid), envelope));
  };
  EXPECT_EQ(sell([](wire::Bid& bid) { bid.price_ucredits -= 1; }, icon_), Code::kInvalid);
  EXPECT_EQ(sell([](wire::Bid& bid) { bid.resources.cpu_millis += 1; }, icon_), Code::kInvalid);
  EXPECT_EQ(sell([](wire::Bid& bid) { bid.slot_seconds *= 2; }, icon_), Code::kInvalid);
  EXPECT_EQ(sell([](wire::Bid& bid) { bid.offer_digest = "00"; }, icon_), Code::kInvalid);
  const auto stranger = KeyPair::generate();
  EXPECT_EQ(sell([](wire::Bid&) {}, stranger), Code::kUnauthenticated);
  EXPECT_EQ(sell([&](wire::Bid& bid) { bid.provider = stranger.public_key(); }, icon_),
            Code::kInvalid);
}

TEST_F(MarketTest, AnOfferThatIsNotOurs) {
  const auto stranger = KeyPair::generate();
  auto offer_body = *wire::open<wire::Offer>(offer(100));
  offer_body.provider = stranger.public_key();
  const auto forged = *wire::seal(stranger, offer_body);
  EXPECT_EQ(code_of(buy(forged)), Code::kUnauthenticated);
}

TEST_F(MarketTest, ReceiptsChargeWhatWasUsed) {
  const auto envelope = offer(1'000, 100);  // 1100 for 100 s
  const auto lease = open_lease(*buy(envelope));
  ASSERT_TRUE(market_->usable_lease(lease.lease_id, icon_.id()));
  EXPECT_EQ(market_->usable_lease(lease.lease_id, provider_.id()).error().code,
            Code::kUnauthenticated);
  ASSERT_TRUE(market_->activate(lease.lease_id));
  ASSERT_TRUE(market_->activate(lease.lease_id));
  clock_.advance(Millis(24'500));
  const auto receipt = *wire::open<wire::Receipt>(*market_->release(lease.lease_id));
  EXPECT_EQ(receipt.used_seconds, 25);
  EXPECT_EQ(receipt.charged_ucredits, 275);
  EXPECT_EQ(receipt.refunded_ucredits, 825);
  const auto again = *wire::open<wire::Receipt>(*market_->release(lease.lease_id));
  EXPECT_EQ(again.issued_ms, receipt.issued_ms);
  EXPECT_EQ(market_->usable_lease(lease.lease_id, icon_.id()).error().code, Code::kConflict);
}

TEST_F(MarketTest, AnUnusedLeaseCostsNothing) {
  const auto envelope = offer(1'000, 100);
  const auto bid = *wire::seal(icon_, bid_on(envelope));
  const auto lease = open_lease(*market_->sell(bid, envelope));
  clock_.advance(Millis(50'000));
  const auto other_bid = *wire::seal(icon_, bid_on(envelope));
  EXPECT_EQ(code_of(market_->give_back(lease.lease_id, other_bid)), Code::kUnauthenticated);
  EXPECT_EQ(code_of(market_->give_back("unknown", bid)), Code::kNotFound);
  const auto receipt = *wire::open<wire::Receipt>(*market_->give_back(lease.lease_id, bid));
  EXPECT_EQ(receipt.charged_ucredits, 0);
  EXPECT_EQ(receipt.refunded_ucredits, 1'100);
}

TEST_F(MarketTest, OrdersGiveBackWhatTheyName) {
  const auto lease = open_lease(*buy(offer(100, 100)));
  wire::MoveOrder order;
  order.icon = icon_.public_key();
  order.migration_id = "m";
  order.epoch = 2;
  order.from = icon_.public_key();
  order.to = provider_.public_key();
  order.lease_id = lease.lease_id;
  order.redirect = "forward";
  order.issued_ms = clock_.utc_ms();
  order.expires_ms = order.issued_ms + 1'000;
  ASSERT_TRUE(market_->activate(lease.lease_id));
  EXPECT_EQ(code_of(market_->give_back(lease.lease_id, *wire::seal(icon_, order))),
            Code::kConflict);
  const auto stranger = KeyPair::generate();
  order.icon = stranger.public_key();
  EXPECT_EQ(code_of(market_->give_back(lease.lease_id, *wire::seal(stranger, order))),
            Code::kUnauthenticated);
}

TEST_F(MarketTest, SlotsEnd) {
  const auto used = open_lease(*buy(offer(100, 10)));
  const auto unused = open_lease(*buy(offer(100, 20)));
  ASSERT_TRUE(market_->activate(used.lease_id));
  ASSERT_TRUE(market_->present(unused.lease_id, icon_.id()));
  clock_.advance(Millis(9'999));
  EXPECT_TRUE(market_->expire()->empty());
  clock_.advance(Millis(1));
  EXPECT_EQ(market_->usable_lease(used.lease_id, icon_.id()).error().code, Code::kExpired);
  const auto over = market_->expire();
  ASSERT_EQ(over->size(), 1u);
  EXPECT_EQ(over->front().lease_id, used.lease_id);
  const auto receipt = *wire::open<wire::Receipt>(*market_->release(used.lease_id));
  EXPECT_EQ(receipt.charged_ucredits, 110);
  clock_.advance(Millis(10'000));
  EXPECT_TRUE(market_->expire()->empty());  // nobody ran on that one
  EXPECT_EQ((*journal_->find_lease(unused.lease_id))->state, "expired");
  EXPECT_EQ(market_->free()->cpu_millis, 2'000);
  clock_.advance(Market::kClosedLeasesKept + Millis(1));
  ASSERT_TRUE(market_->expire());
  EXPECT_TRUE(journal_->leases()->empty());
}

TEST_F(MarketTest, WhatCannotBeBilledEndsAllTheSame) {
  const auto damaged = open_lease(*buy(offer(100, 10)));
  const auto sound = open_lease(*buy(offer(100, 10)));
  ASSERT_TRUE(market_->activate(damaged.lease_id));
  ASSERT_TRUE(market_->activate(sound.lease_id));
  auto row = **journal_->find_lease(damaged.lease_id);
  row.lease = {{"type", "lease"}};
  ASSERT_TRUE(journal_->put_lease(row));
  clock_.advance(Millis(10'000));
  const auto over = market_->expire();
  ASSERT_TRUE(over) << over.error().message;
  EXPECT_EQ(over->size(), 2u);
  const auto leases = *journal_->leases();
  for (const auto& lease : leases) EXPECT_EQ(lease.state, "expired");
  EXPECT_TRUE((*journal_->find_lease(damaged.lease_id))->receipt.empty());
  EXPECT_FALSE((*journal_->find_lease(sound.lease_id))->receipt.empty());
  for (const auto& lease : {damaged, sound})
    EXPECT_FALSE(*journal_->value(active_since_key(lease.lease_id))) << "a mark without a lease";
}

TEST_F(MarketTest, LocalIconsTakeRoomToo) {
  IconRecord icon;
  icon.id = icon_.id();
  icon.name = icon.spec.name = "x";
  icon.spec.command = {"x"};
  icon.spec.resources = {500, 0, 0};
  icon.state = icon_state::kRunning;
  ASSERT_TRUE(journal_->put_icon(icon));
  EXPECT_EQ(market_->free()->cpu_millis, 1'500);
  icon.lease_id = "sold";  // its lease counts instead
  ASSERT_TRUE(journal_->put_icon(icon));
  EXPECT_EQ(market_->free()->cpu_millis, 2'000);
}

TEST_F(MarketTest, BoughtLeasesAreVerified) {
  const auto lease = *buy(offer(100));
  const auto bid = open_lease(lease).bid;
  // One cannot move to where one is.
  EXPECT_EQ(market_->note_bought(lease, bid).error().code, Code::kInvalid);
  const auto home_key = KeyPair::generate();
  const auto journal = std::move(*Journal::open(directory_ / "home.db"));
  Market home(config_, home_key, clock_, *journal);
  ASSERT_TRUE(home.note_bought(lease, bid));
  ASSERT_TRUE(home.note_bought(lease, bid)) << "its answer was lost";
  EXPECT_EQ((*journal->find_lease(open_lease(lease).lease_id))->role, "bought");
  EXPECT_EQ(home.free()->cpu_millis, 2'000);
  auto forged = lease;
  forged.signature[0] ^= 1;
  EXPECT_EQ(home.note_bought(forged, bid).error().code, Code::kUnauthenticated);
  const auto other = open_lease(*buy(offer(100))).bid;
  EXPECT_EQ(home.note_bought(lease, other).error().code, Code::kInvalid);
  clock_.advance(Millis(100'000));
  EXPECT_TRUE(home.expire()->empty());
  EXPECT_EQ((*journal->find_lease(open_lease(lease).lease_id))->state, "expired");
}

// The provider of a slot that an ICON buys elsewhere chooses its id.
TEST_F(MarketTest, ABoughtLeaseReplacesNoOther) {
  const auto sold = take(offer(500));
  const auto accomplice = KeyPair::generate();
  const auto buyer = KeyPair::generate();
  auto bid = bid_on(offer(500));
  bid.icon = buyer.public_key();
  bid.provider = accomplice.public_key();
  const auto buy_elsewhere = [&](const std::string& lease_id) {
    bid.nonce = random_token(8);
    const auto envelope = *wire::seal(buyer, bid);
    const auto now = clock_.utc_ms();
    const wire::Lease lease{lease_id, accomplice.public_key(),       envelope, now,
                            now,      now + bid.slot_seconds * 1'000};
    return market_->note_bought(*wire::seal(accomplice, lease), envelope);
  };
  EXPECT_EQ(buy_elsewhere(sold.lease_id).error().code, Code::kConflict);
  EXPECT_EQ((*journal_->find_lease(sold.lease_id))->role, "sold");
  EXPECT_EQ(market_->free()->cpu_millis, 1'500);
  for (std::ptrdiff_t i = 0; i < Market::kBoughtPerIconMax; ++i)
    ASSERT_TRUE(buy_elsewhere("l" + std::to_string(i)));
  EXPECT_EQ(buy_elsewhere("one-more").error().code, Code::kLimit);
}

// What a stranger signs beside what we know is kept, and wrapped: it must stay readable for us.
TEST_F(MarketTest, WhatIsBeyondMeasureIsNotKept) {
  const auto reserve_with = [&](json::Value surplus) {
    const auto envelope = offer(100);
    auto body = bid_on(envelope).to_json();
    body["x"] = std::move(surplus);
    const auto reserved = market_->reserve(*wire::seal(icon_, "bid", body), envelope);
    return reserved ? Code::kInternal : reserved.error().code;
  };
  json::Value deep = 1;
  for (int i = 0; i < 12; ++i) deep = json::Array{std::move(deep)};
  EXPECT_EQ(reserve_with(deep), Code::kLimit);
  EXPECT_EQ(reserve_with(json::Value(std::string(2'000, 'x'))), Code::kLimit);
  EXPECT_EQ(reserve_with(json::Object{{"of", "a newer version"}}), Code::kInternal) << "taken";
  EXPECT_TRUE(journal_->leases());
}

}  // namespace
}  // namespace icon::supervisor
