// An exchange and two sellers in it, on one clock; the calls between them are the test's.
#include "supervisor/asks.h"

#include <gtest/gtest.h>

#include "base/encoding.h"
#include "budget/auction/cell.h"
#include "budget/auction/record.h"
#include "supervisor/sales.h"
#include "tests/unit/base/http_rig.h"

namespace icon::supervisor {
namespace {

using Errand = Asks::Errand;
using Rule = wire::AuctionCall::Rule;

constexpr auto kBuyersHost = "a buyer's host";

struct Seller {
  Seller(const Clock& clock, const std::string& directory, const ExchangeAddress& exchange,
         wire::MicroCredits ask)
      : clock_(clock) {
    config.provider_name = "p";
    config.api = *Endpoint::parse("192.0.2.2:7946");
    config.capacity = {3'000, 3'000, 3'000};
    config.sealed_bids = {1, {1'000, 1'000, 1'000}, 100, 60'000, 10'000, 10'000, ask, 7, exchange};
    journal = std::move(*Journal::open(directory));
    market = std::make_unique<Market>(config, key, clock, *journal);
    begin();
  }
  void begin() {
    asks = std::make_unique<Asks>(config, key, clock_, *journal, *market);
    ASSERT_TRUE(asks->load());
  }
  Errand next() { return *asks->next(); }

  const Clock& clock_;
  Config config;
  KeyPair key = KeyPair::generate();
  std::unique_ptr<Journal> journal;
  std::unique_ptr<Market> market;
  std::unique_ptr<Asks> asks;
};

class AsksTest : public ::testing::Test {
 protected:
  AsksTest() {
    config_.exchange = {{1'000, 1'000, 1'000},
                        100,
                        60'000,
                        10'000,
                        10'000,
                        7,
                        {cheap_.key.public_key(), dear_.key.public_key()}};
    journal_ = std::move(*Journal::open(directory_ / "journal.db"));
    market_ = std::make_unique<Market>(config_, exchange_, clock_, *journal_);
    sales_ = std::make_unique<Sales>(config_, exchange_, clock_, *journal_, *market_);
  }
  std::string call() {
    EXPECT_TRUE(sales_->tick());
    const auto list = sales_->list();
    EXPECT_FALSE(list.empty());
    return std::string(list.back().at("sale").as_string());
  }
  wire::Envelope call_document() { return *wire::parse_envelope(sales_->list().back().at("call")); }
  void wait(std::int64_t ms) {
    clock_.advance(Millis(ms));
    EXPECT_TRUE(sales_->tick());
  }
  wire::Envelope bid_by(const KeyPair& by, wire::MicroCredits price, wire::AuctionBid::Side side) {
    const auto document = call_document();
    const auto call = *wire::open<wire::AuctionCall>(document);
    return *wire::seal(by, wire::AuctionBid{document.digest(), by.public_key(), side,
                                            call.resources, budget::auction::current_window(call),
                                            call.slot_seconds, price, random_token(18)});
  }
  Status commit(const KeyPair& by, const wire::Envelope& bid, const std::string& through) {
    const auto id = call_document().digest();
    return sales_->commit(
        *wire::seal(by, wire::AuctionCommit{id, by.public_key(), bid.digest(), clock_.utc_ms()}),
        through);
  }
  void ask(Seller& seller) {
    ASSERT_EQ(seller.next(), Errand::kFind);
    ASSERT_TRUE(seller.asks->on_call(call_document()));
    ASSERT_EQ(seller.next(), Errand::kCommit);
    const auto answer = sales_->commit(seller.asks->commit(), seller.key.id());
    ASSERT_TRUE(answer) << answer.error().message;
    ASSERT_TRUE(seller.asks->on_commit(answer));
    ASSERT_EQ(seller.next(), Errand::kNone) << "sealed until the close";
  }
  void reveal(Seller& seller) {
    ASSERT_EQ(seller.next(), Errand::kReveal);
    ASSERT_TRUE(seller.asks->on_reveal(sales_->reveal(seller.asks->bid())));
    ASSERT_EQ(seller.next(), Errand::kDocuments);
  }
  // Both sellers and a buyer, whose bid it returns.
  wire::Envelope all_commit() {
    ask(cheap_);
    ask(dear_);
    auto bid = bid_by(buyer_, 500, wire::AuctionBid::Side::kBuy);
    EXPECT_TRUE(commit(buyer_, bid, kBuyersHost));
    wait(10'000);
    return bid;
  }
  void trade() {
    const auto bid = all_commit();
    reveal(cheap_);
    reveal(dear_);
    ASSERT_TRUE(sales_->reveal(bid));
    wait(1'000);  // all have revealed
  }
  std::vector<wire::Envelope> documents(const std::string& sale) {
    std::vector<wire::Envelope> all;
    const auto array = sales_->documents(sale);
    EXPECT_TRUE(array);
    for (const auto& value : *array) all.push_back(*wire::parse_envelope(value));
    return all;
  }
  static Code code(const Status& status) { return status ? Code::kInternal : status.error().code; }
  static Code code(const Result<wire::Envelope>& result) {
    return result ? Code::kInternal : result.error().code;
  }

  test::TempDir directory_;
  FakeClock clock_;
  Config config_;
  KeyPair exchange_ = KeyPair::generate();
  KeyPair buyer_ = KeyPair::generate();
  ExchangeAddress address_{exchange_.public_key(), *Endpoint::parse("192.0.2.1:7946")};
  Seller cheap_{clock_, directory_ / "cheap.db", address_, 100};
  Seller dear_{clock_, directory_ / "dear.db", address_, 200};
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Market> market_;
  std::unique_ptr<Sales> sales_;
};

TEST_F(AsksTest, TheCheaperSellerSellsAtTheOthersPrice) {
  const auto sale = call();
  const auto bid = all_commit();
  // A seller that is killed in between has forgotten nothing.
  cheap_.begin();
  reveal(cheap_);
  cheap_.begin();
  reveal(dear_);
  ASSERT_TRUE(sales_->reveal(bid));
  wait(1'000);  // all have revealed
  EXPECT_EQ(code(sales_->claim(sale, buyer_.id())), Code::kNotFound) << "an exchange has no slots";
  for (Seller* seller : {&cheap_, &dear_}) ASSERT_TRUE(seller->asks->on_documents(documents(sale)));

  EXPECT_TRUE(cheap_.asks->knows(sale));
  EXPECT_FALSE(dear_.asks->knows(sale));
  EXPECT_EQ(code(dear_.asks->claim(sale, buyer_.id())), Code::kNotFound);
  EXPECT_EQ(code(cheap_.asks->claim(sale, KeyPair::generate().id())), Code::kRefused);
  EXPECT_EQ(cheap_.next(), Errand::kNone) << "its only slot is promised";
  EXPECT_EQ(dear_.next(), Errand::kFind);
  const auto offer = cheap_.asks->claim(sale, buyer_.id());
  ASSERT_TRUE(offer) << offer.error().message;
  cheap_.begin();
  EXPECT_EQ(cheap_.asks->claim(sale, buyer_.id())->digest(), offer->digest());
  const auto terms = *wire::open<wire::Offer>(*offer);
  EXPECT_EQ(terms.price_ucredits, 200);
  EXPECT_EQ(terms.slot_seconds, 100);

  wire::Bid wanted;
  wanted.icon = buyer_.public_key();
  wanted.provider = cheap_.key.public_key();
  wanted.offer_digest = offer->digest();
  wanted.resources = terms.resources;
  wanted.slot_seconds = terms.slot_seconds;
  wanted.price_ucredits = terms.price_ucredits;
  wanted.epoch = 2;
  wanted.nonce = random_token(8);
  wanted.issued_ms = clock_.utc_ms();
  wanted.expires_ms = wanted.issued_ms + 30'000;
  ASSERT_TRUE(cheap_.market->reserve(*wire::seal(buyer_, wanted), *offer));
  EXPECT_EQ(*cheap_.market->slots_set_aside(), 0);
  wait(180'000);
  EXPECT_EQ(cheap_.next(), Errand::kNone) << "its only slot is taken";
}

TEST_F(AsksTest, WhatNobodyClaimsIsAskedForAgain) {
  const auto sale = call();
  trade();
  ASSERT_TRUE(cheap_.asks->on_documents(documents(sale)));
  EXPECT_EQ(cheap_.next(), Errand::kNone);
  clock_.advance(Asks::kClaimWithin);
  EXPECT_EQ(code(cheap_.asks->claim(sale, buyer_.id())), Code::kExpired);
  clock_.advance(Asks::kClaimWithin);
  EXPECT_EQ(cheap_.next(), Errand::kFind);
}

TEST_F(AsksTest, NobodyElseSells) {
  call();
  const auto stranger = KeyPair::generate();
  const auto ask = bid_by(stranger, 1, wire::AuctionBid::Side::kSell);
  EXPECT_EQ(code(commit(stranger, ask, stranger.id())), Code::kRefused);
  // Through another's host a commit does not show its side; the reveal does.
  ASSERT_TRUE(commit(stranger, ask, kBuyersHost));
  wait(10'000);
  EXPECT_EQ(code(sales_->reveal(ask)), Code::kRefused);
}

TEST_F(AsksTest, TakesNoCallThatIsNotForIt) {
  call();
  const auto good = call_document();
  auto other = *wire::open<wire::AuctionCall>(good);
  const auto stranger = KeyPair::generate();
  other.auctioneer = stranger.public_key();
  EXPECT_EQ(code(cheap_.asks->on_call(*wire::seal(stranger, other))), Code::kUnauthenticated);
  other = *wire::open<wire::AuctionCall>(good);
  other.slot_seconds = 101;
  EXPECT_EQ(code(cheap_.asks->on_call(*wire::seal(exchange_, other))), Code::kInvalid);
  other.slot_seconds = 100;
  other.resources.cpu_millis = 1'001;
  EXPECT_EQ(code(cheap_.asks->on_call(*wire::seal(exchange_, other))), Code::kInvalid);
  auto forged = good;
  forged.body["nonce"] = "x";
  EXPECT_EQ(code(cheap_.asks->on_call(forged)), Code::kUnauthenticated);
  clock_.advance(Millis(9'900));
  EXPECT_EQ(code(cheap_.asks->on_call(good)), Code::kInvalid) << "nearly over";
  EXPECT_EQ(cheap_.next(), Errand::kFind);
}

TEST_F(AsksTest, AnOutcomeThatDoesNotFollowSellsNothing) {
  const auto sale = call();
  trade();
  // The other ask is kept from us: the signed outcome would be another one.
  auto some = documents(sale);
  std::erase_if(some, [&](const wire::Envelope& document) {
    return document.digest() == dear_.asks->bid().digest();
  });
  ASSERT_TRUE(cheap_.asks->on_documents(some));
  EXPECT_FALSE(cheap_.asks->knows(sale));
  EXPECT_EQ(cheap_.next(), Errand::kFind);
}

TEST_F(AsksTest, TooLateOrWithoutAnswerItEnds) {
  call();
  ASSERT_TRUE(cheap_.asks->on_call(call_document()));
  // The commit's answer is lost: it may have arrived.
  ASSERT_TRUE(cheap_.asks->on_commit(fail(Code::kTimeout, "no answer")));
  EXPECT_EQ(cheap_.next(), Errand::kCommit);
  clock_.advance(Millis(10'000));
  EXPECT_EQ(cheap_.next(), Errand::kReveal);
  ASSERT_TRUE(cheap_.asks->on_reveal(fail(Code::kTimeout, "no answer")));
  EXPECT_EQ(cheap_.next(), Errand::kReveal);
  clock_.advance(Millis(10'000));
  EXPECT_EQ(cheap_.next(), Errand::kDocuments) << "was it silent? The outcome says it";
  cheap_.begin();
  clock_.advance(Sales::kOutcomeWithin);
  EXPECT_EQ(cheap_.next(), Errand::kDocuments);
  clock_.advance(Millis(5'000));
  EXPECT_EQ(cheap_.next(), Errand::kNone) << "without an outcome nobody owes anything";
  EXPECT_EQ(cheap_.asks->deposits().at("owed_ucredits"), 0);
  EXPECT_EQ(cheap_.next(), Errand::kFind);
  EXPECT_EQ(code(cheap_.asks->on_call(call_document())), Code::kInvalid);
}

TEST_F(AsksTest, ALostDepositIsBookedByAllWhomItConcerns) {
  const auto sale = call();
  const auto bid = all_commit();
  reveal(cheap_);
  ASSERT_TRUE(sales_->reveal(bid));
  wait(10'000);
  ASSERT_EQ(dear_.next(), Errand::kDocuments) << "it was silent";
  const auto outcome = documents(sale);
  for (auto* seller : {&cheap_, &dear_})
    for (int i = 0; i < 2; ++i) ASSERT_TRUE(seller->asks->on_documents(outcome));
  const auto buyers = budget::auction::deposits_of(budget::auction::conclude(outcome)->clearing,
                                                   buyer_.public_key());
  for (auto* seller : {&cheap_, &dear_}) seller->begin();
  const auto cheap = cheap_.asks->deposits();
  const auto dear = dear_.asks->deposits();
  EXPECT_EQ(dear.at("owed_ucredits"), 7);
  EXPECT_EQ(dear.at("due_ucredits"), 0);
  EXPECT_EQ(cheap.at("owed_ucredits"), 0);
  EXPECT_EQ(cheap.at("due_ucredits").as_int64() + buyers.due, 7);
  EXPECT_EQ(cheap.at("sales").as_array().at(0).at("sale"), sale.c_str());
  EXPECT_EQ(buyers.owed, 0);
}

TEST_F(AsksTest, WhatWasRevealedCountsThoughTheAcknowledgementWasLost) {
  const auto sale = call();
  const auto bid = all_commit();
  ASSERT_EQ(cheap_.next(), Errand::kReveal);
  ASSERT_TRUE(sales_->reveal(cheap_.asks->bid()));
  ASSERT_TRUE(cheap_.asks->on_reveal(fail(Code::kTimeout, "no answer")));
  reveal(dear_);
  ASSERT_TRUE(sales_->reveal(bid));
  wait(10'000);
  ASSERT_EQ(cheap_.next(), Errand::kDocuments);
  ASSERT_TRUE(cheap_.asks->on_documents(documents(sale)));
  EXPECT_TRUE(cheap_.asks->claim(sale, buyer_.id()));
  EXPECT_EQ(cheap_.asks->deposits().at("owed_ucredits"), 0);
}

}  // namespace
}  // namespace icon::supervisor
