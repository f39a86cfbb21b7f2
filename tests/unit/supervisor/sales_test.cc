#include "supervisor/sales.h"

#include <gtest/gtest.h>

#include "base/encoding.h"
#include "budget/auction/record.h"
#include "tests/unit/base/http_rig.h"

namespace icon::supervisor {
namespace {

constexpr auto kHost = "a host";

// A host with room for three slots, one of which is sold to the highest sealed bid.
class SalesTest : public ::testing::Test {
 protected:
  SalesTest() {
    config_.provider_name = "p";
    config_.api = *Endpoint::parse("192.0.2.1:7946");
    config_.capacity = {3'000, 3'000, 3'000};
    config_.sealed_bids = {1, {1'000, 1'000, 1'000}, 100, 60'000, 10'000, 10'000, 50, 7, {}};
    journal_ = std::move(*Journal::open(directory_ / "journal.db"));
    market_ = std::make_unique<Market>(config_, provider_, clock_, *journal_);
    begin();
  }
  void begin() {
    sales_ = std::make_unique<Sales>(config_, provider_, clock_, *journal_, *market_);
    ASSERT_TRUE(sales_->load());
  }
  std::string call() {
    EXPECT_TRUE(sales_->tick());
    const auto list = sales_->list();
    EXPECT_FALSE(list.empty());
    return std::string(list.back().at("sale").as_string());
  }
  std::string state() { return std::string(sales_->list().back().at("state").as_string()); }
  void wait(std::int64_t ms) {
    clock_.advance(Millis(ms));
    EXPECT_TRUE(sales_->tick());
  }
  wire::AuctionCall the_call() {
    return *wire::open<wire::AuctionCall>(*wire::parse_envelope(sales_->list().back().at("call")));
  }
  wire::Envelope bid(const KeyPair& by, wire::MicroCredits price, const std::string& sale) {
    const auto call = the_call();
    wire::AuctionBid bid;
    bid.auction = sale;
    bid.party = by.public_key();
    bid.resources = call.resources;
    bid.start_ms = call.start_ms;
    bid.slot_seconds = call.slot_seconds;
    bid.price_ucredits = price;
    bid.nonce = random_token(12);
    return *wire::seal(by, bid);
  }
  wire::Envelope commit_to(const KeyPair& by, const wire::Envelope& bid, const std::string& sale) {
    return *wire::seal(by,
                       wire::AuctionCommit{sale, by.public_key(), bid.digest(), clock_.utc_ms()});
  }
  Result<wire::Envelope> take(const KeyPair& by, const wire::Envelope& offer) {
    wire::Bid bid;
    bid.icon = by.public_key();
    bid.provider = provider_.public_key();
    bid.offer_digest = offer.digest();
    bid.resources = config_.sealed_bids.resources;
    bid.slot_seconds = 100;
    bid.price_ucredits = wire::open<wire::Offer>(offer)->price_ucredits;
    bid.epoch = 2;
    bid.nonce = random_token(8);
    bid.issued_ms = clock_.utc_ms();
    bid.expires_ms = bid.issued_ms + 30'000;
    return market_->reserve(*wire::seal(by, bid), offer);
  }
  static Code code(const Status& status) { return status ? Code::kInternal : status.error().code; }
  static Code code(const Result<wire::Envelope>& result) {
    return result ? Code::kInternal : result.error().code;
  }
  std::vector<wire::Envelope> documents(const std::string& sale) {
    std::vector<wire::Envelope> all;
    const auto array = sales_->documents(sale);
    EXPECT_TRUE(array);
    for (const auto& value : *array) all.push_back(*wire::parse_envelope(value));
    return all;
  }

  test::TempDir directory_;
  FakeClock clock_;
  Config config_;
  KeyPair provider_ = KeyPair::generate();
  KeyPair a_ = KeyPair::generate();
  KeyPair b_ = KeyPair::generate();
  KeyPair c_ = KeyPair::generate();
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Market> market_;
  std::unique_ptr<Sales> sales_;
};

TEST_F(SalesTest, TheHighestBidWinsAtTheSecondPriceAndGetsItsLease) {
  EXPECT_EQ(market_->free()->cpu_millis, 2'000) << "one slot is set aside";
  const auto sale = call();
  EXPECT_EQ(the_call().slots, 1);
  const auto high = bid(a_, 500, sale);
  const auto low = bid(b_, 300, sale);
  const auto silent = bid(c_, 900, sale);
  ASSERT_TRUE(sales_->commit(commit_to(a_, high, sale), kHost));
  ASSERT_TRUE(sales_->commit(commit_to(b_, low, sale), kHost));
  ASSERT_TRUE(sales_->commit(commit_to(c_, silent, sale), kHost));
  EXPECT_EQ(documents(sale).size(), 1U) << "who bids is nobody's business yet";
  wait(10'000);
  EXPECT_EQ(state(), "revealing");
  ASSERT_TRUE(sales_->reveal(high));
  const auto ack = sales_->reveal(low);
  ASSERT_TRUE(ack);
  EXPECT_EQ(sales_->reveal(low)->digest(), ack->digest()) << "the same again, the same one";
  for (const auto& document : documents(sale)) EXPECT_NE(document.type, wire::AuctionBid::kType);
  // A supervisor that is killed in between has forgotten nothing.
  begin();
  EXPECT_EQ(code(sales_->claim(sale, a_.id())), Code::kConflict);
  wait(10'000);
  ASSERT_EQ(state(), "over");
  const auto found = budget::auction::conclude(documents(sale));
  ASSERT_TRUE(found) << found.error().message;
  ASSERT_TRUE(found->outcome);
  ASSERT_EQ(found->clearing.clusters.size(), 1U);
  EXPECT_EQ(found->clearing.clusters[0].price, 300);
  ASSERT_EQ(found->clearing.forfeits.size(), 1U);
  EXPECT_EQ(found->clearing.forfeits[0].party, c_.public_key());

  EXPECT_EQ(code(sales_->claim(sale, b_.id())), Code::kRefused);
  const auto offer = sales_->claim(sale, a_.id());
  ASSERT_TRUE(offer) << offer.error().message;
  EXPECT_EQ(sales_->claim(sale, a_.id())->digest(), offer->digest());
  const auto price = wire::open<wire::Offer>(*offer)->price_ucredits;
  EXPECT_EQ(price, 300);
  EXPECT_EQ(code(take(b_, *offer)), Code::kRefused) << "another's offer";
  ASSERT_TRUE(take(a_, *offer));
  EXPECT_EQ(*market_->slots_set_aside(), 0);
  EXPECT_EQ(market_->free()->cpu_millis, 2'000) << "what was set aside is what was taken";
}

TEST_F(SalesTest, HostileCommits) {
  const auto sale = call();
  const auto good = bid(a_, 500, sale);
  const auto commit = commit_to(a_, good, sale);
  ASSERT_TRUE(sales_->commit(commit, kHost));
  EXPECT_TRUE(sales_->commit(commit, kHost)) << "replayed";
  EXPECT_EQ(sales_->list().back().at("commits").as_uint64(), 1U);
  EXPECT_EQ(code(sales_->commit(commit_to(a_, bid(a_, 600, sale), sale), kHost)), Code::kConflict);
  EXPECT_EQ(code(sales_->commit(commit_to(b_, good, sale), kHost)), Code::kConflict)
      << "another's bid";
  // Keys cost nothing: hosts that are refused must not fill the journal.
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(code(sales_->commit(commit_to(b_, good, sale), "stranger" + std::to_string(i))),
              Code::kConflict);
  auto forged = commit_to(b_, bid(b_, 1, sale), sale);
  forged.body["bid_digest"] = std::string(64, 'f');
  EXPECT_EQ(code(sales_->commit(forged, kHost)), Code::kUnauthenticated);
  EXPECT_EQ(code(sales_->commit(commit_to(b_, bid(b_, 1, sale), std::string(64, '0')), kHost)),
            Code::kNotFound);
  for (std::size_t i = 1; i < Sales::kPartiesPerHost; ++i) {
    const auto party = KeyPair::generate();
    ASSERT_TRUE(sales_->commit(commit_to(party, bid(party, 1, sale), sale), kHost));
  }
  const auto more = KeyPair::generate();
  EXPECT_EQ(code(sales_->commit(commit_to(more, bid(more, 1, sale), sale), kHost)), Code::kLimit);
  EXPECT_TRUE(sales_->commit(commit_to(more, bid(more, 1, sale), sale), "another host"));
  EXPECT_EQ((**journal_->value("sale/" + sale)).find("stranger"), std::string::npos);
  wait(10'000);
  EXPECT_EQ(code(sales_->commit(commit_to(b_, bid(b_, 1, sale), sale), "b")), Code::kExpired);
}

TEST_F(SalesTest, HostileReveals) {
  const auto sale = call();
  const auto mine = bid(a_, 500, sale);
  ASSERT_TRUE(sales_->commit(commit_to(a_, mine, sale), kHost));
  EXPECT_EQ(code(sales_->reveal(mine)), Code::kConflict) << "too early";
  wait(10'000);
  EXPECT_EQ(code(sales_->reveal(bid(a_, 501, sale))), Code::kNotFound) << "another bid";
  EXPECT_EQ(code(sales_->reveal(bid(b_, 500, sale))), Code::kNotFound) << "no commit";
  auto forged = mine;
  forged.body["price_ucredits"] = 9'000;
  EXPECT_EQ(code(sales_->reveal(forged)), Code::kUnauthenticated);
  clock_.advance(Millis(10'000));
  EXPECT_EQ(code(sales_->reveal(mine)), Code::kExpired) << "too late";
  ASSERT_TRUE(sales_->tick());
  EXPECT_EQ(state(), "over");
  const auto found = budget::auction::conclude(documents(sale));
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->clearing.trades(), 0U);
}

TEST_F(SalesTest, WithoutBidsASaleIsVoidAndTheNextOneComesLater) {
  const auto sale = call();
  wait(10'000);
  EXPECT_EQ(state(), "void");
  wait(10'000);
  EXPECT_EQ(sales_->list().size(), 1U);
  wait(40'000);
  EXPECT_EQ(sales_->list().size(), 2U);
  EXPECT_NE(sales_->list().back().at("sale").as_string(), sale);
  for (int i = 0; i < 40; ++i) wait(60'000);
  EXPECT_LE(sales_->list().size(), Sales::kKept);
}

TEST_F(SalesTest, WhatIsNotedOfASaleGoesWithIt) {
  const auto noted = [&] {
    std::size_t count = 0;
    for (const char* prefix : {"sale_offer/", "sale_lease/", "sale_taken/"})
      count += journal_->values(prefix)->size();
    return count;
  };
  const auto sale = call();
  const auto mine = bid(a_, 500, sale);
  ASSERT_TRUE(sales_->commit(commit_to(a_, mine, sale), kHost));
  wait(10'000);
  ASSERT_TRUE(sales_->reveal(mine));
  wait(10'000);
  const auto offer = sales_->claim(sale, a_.id());
  ASSERT_TRUE(offer) << offer.error().message;
  ASSERT_TRUE(take(a_, *offer));
  ASSERT_TRUE(market_->forget_sales());
  EXPECT_EQ(noted(), 3U);
  EXPECT_EQ(*market_->slots_set_aside(), 0);
  // It is not confirmed, so its lease lapses; whose slot it was is still known.
  clock_.advance(Market::kConfirmWithin);
  ASSERT_TRUE(market_->expire());
  ASSERT_TRUE(market_->forget_sales());
  EXPECT_EQ(noted(), 2U);
  EXPECT_TRUE(market_->has_taken(sale, a_.id()));
  clock_.advance(Millis(3LL * 24 * 3600 * 1000));
  ASSERT_TRUE(market_->forget_sales());
  EXPECT_EQ(noted(), 0U);
}

TEST_F(SalesTest, WhatWasWonAndNotClaimedIsSoldAgain) {
  const auto sale = call();
  const auto mine = bid(a_, 500, sale);
  ASSERT_TRUE(sales_->commit(commit_to(a_, mine, sale), kHost));
  wait(10'000);
  ASSERT_TRUE(sales_->reveal(mine));
  wait(1'000);  // all have revealed
  ASSERT_EQ(state(), "over");
  wait(60'000);
  EXPECT_EQ(sales_->list().size(), 1U) << "the winner's time is not over";
  EXPECT_EQ(*market_->slots_set_aside(), 1);
  wait(30'000);
  EXPECT_EQ(code(sales_->claim(sale, a_.id())), Code::kExpired);
  wait(60'000);
  EXPECT_EQ(sales_->list().size(), 2U);
}

TEST_F(SalesTest, ASupervisorThatWasDeadForTheRevealsOwesNobodyAnything) {
  const auto sale = call();
  ASSERT_TRUE(sales_->commit(commit_to(a_, bid(a_, 5, sale), sale), kHost));
  clock_.advance(Millis(30'000));
  begin();
  ASSERT_TRUE(sales_->tick());
  EXPECT_EQ(std::string(sales_->list().front().at("state").as_string()), "void");
}

}  // namespace
}  // namespace icon::supervisor
