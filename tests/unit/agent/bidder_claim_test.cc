// What was won is claimed at the seller's: until it answers, and not for ever.
#include <boost/json/serialize.hpp>
#include <filesystem>

#include "agent/bidder.h"
#include "base/file.h"
#include "tests/unit/agent/scripted_host.h"
#include "tests/unit/base/http_rig.h"

namespace icon::agent {
namespace {

class BidderClaimTest : public ::testing::Test {
 protected:
  BidderClaimTest() {
    wallet_.emplace(*Wallet::open(directory_ / "purse.db", 1'000, clock_.utc_ms()));
    host_.on("POST", "/v2/self/sales", [this](http::Request) { return answer(); });
    host_.begin();
    call_.nonce = "n";
    call_.resources = {100, 100, 100};
    call_.slot_seconds = 600;
    call_.seed_commitment = std::string(64, 'a');
    call_.issued_ms = clock_.utc_ms() - 20'000;
    call_.commit_until_ms = call_.issued_ms + 5'000;
    call_.reveal_until_ms = call_.issued_ms + 10'000;
    call_.expires_ms = call_.issued_ms + 70'000;
  }
  void TearDown() override {
    if (bidder_) bidder_->close();
    end_tasks(loop_, tasks_);
    host_.end();
  }

  // An earlier process has won, and the seller has not been asked yet.
  void win_in_an_exchange() {
    call_.rule = wire::AuctionCall::Rule::kDouble;
    win(exchange_);
  }
  void win_at_the_seller() {
    call_.rule = wire::AuctionCall::Rule::kUniform;
    call_.slots = 1;
    call_.start_ms = call_.reveal_until_ms;
    win(seller_);
  }
  void win(const KeyPair& auctioneer) {
    call_.auctioneer = auctioneer.public_key();
    const auto call = *wire::seal(auctioneer, call_);
    wire::AuctionBid bid;
    bid.auction = call.digest();
    bid.party = icon_.public_key();
    bid.resources = call_.resources;
    bid.start_ms = call_.reveal_until_ms;
    bid.slot_seconds = call_.slot_seconds;
    bid.price_ucredits = 300;
    bid.nonce = "m";
    const auto sealed = *wire::seal(icon_, bid);
    const auto commit = *wire::seal(icon_, wire::AuctionCommit{call.digest(), icon_.public_key(),
                                                               sealed.digest(), call_.issued_ms});
    ASSERT_TRUE(wallet_->hold(std::string(kBidHold) + call.digest(), 300, clock_.utc_ms()));
    const json::Object place{{"name", "seller"}, {"id", seller_.id()}, {"api", "192.0.2.1:7946"}};
    json::Array documents{call.to_json(), commit.to_json(), sealed.to_json()};
    const json::Object file{{"version", 1},
                            {"state", "won"},
                            {"provider", place},
                            {"sellers", json::Array{json::Value(place)}},
                            {"api", "192.0.2.9:7946"},
                            {"documents", std::move(documents)},
                            {"clearing_ucredits", 200},
                            {"offer", nullptr}};
    ASSERT_TRUE(write_file_atomic(directory_ / "bid.json", boost::json::serialize(file), 0600));
    bidder_.emplace(BidderParts{loop_, clock_, link_, tasks_, wallet_, chronicle_,
                                [this] { return &icon_; }, directory_ / "bid.json"});
    bidder_->open();
    ASSERT_TRUE(bidder_->busy());
  }
  wire::Envelope offer() {
    wire::Offer offer;
    offer.provider = seller_.public_key();
    offer.provider_name = "seller";
    offer.nonce = "n";
    offer.resources = call_.resources;
    offer.slot_seconds = call_.slot_seconds;
    offer.price_ucredits = 200;
    offer.api = *Endpoint::parse("192.0.2.1:7946");
    offer.public_address = *Address::parse("192.0.2.1");
    offer.issued_ms = clock_.utc_ms();
    offer.expires_ms = offer.issued_ms + 60'000;
    return *wire::seal(seller_, offer);
  }
  Task<http::Response> answer() {
    ++claims_;
    if (refusal_) co_return http::error_response(*refusal_);
    json::Object found{{"offer", offer().to_json()}};
    co_return http::json_response(200, std::move(found));
  }
  bool is_claimed(int times) {
    return run_until(loop_, [&] { return claims_ >= times; });
  }
  bool ends() {
    return run_until(loop_, [&] { return !bidder_->busy(); });
  }

  IoContext loop_;
  test::TempDir directory_;
  FakeClock clock_;
  KeyPair icon_ = KeyPair::generate();
  KeyPair seller_ = KeyPair::generate();
  KeyPair exchange_ = KeyPair::generate();
  TaskGroup tasks_{loop_};
  SupervisorLink link_{directory_ / "supervisor.sock"};
  ScriptedHost host_{loop_, directory_ / "supervisor.sock"};
  std::optional<Wallet> wallet_;
  std::optional<Chronicle> chronicle_;
  std::optional<Bidder> bidder_;
  wire::AuctionCall call_;
  std::optional<Error> refusal_;
  int claims_ = 0;
};

TEST_F(BidderClaimTest, ASellerThatHasNotHeardOfTheOutcomeIsAskedAgain) {
  refusal_ = Error{Code::kNotFound, "no such sale here"};
  win_in_an_exchange();
  ASSERT_TRUE(is_claimed(2));
  EXPECT_TRUE(bidder_->busy());
  refusal_.reset();
  ASSERT_TRUE(run_until(loop_, [&] { return bidder_->won().has_value(); }));
  EXPECT_EQ(bidder_->won()->view.offer->price_ucredits, 200);
}

// Else no bid would be made anywhere any more.
TEST_F(BidderClaimTest, ASellerThatGivesNoOfferIsNotAskedForEver) {
  for (const auto code : {Code::kNotFound, Code::kUnavailable, Code::kConflict, Code::kTimeout}) {
    SCOPED_TRACE(to_string(code));
    refusal_ = Error{code, "not now"};
    claims_ = 0;
    win_in_an_exchange();
    ASSERT_TRUE(is_claimed(1));
    EXPECT_TRUE(bidder_->busy());
    clock_.advance(Millis(call_.expires_ms + 5'000 - clock_.utc_ms()));
    ASSERT_TRUE(ends());
    EXPECT_EQ(wallet_->totals().held_ucredits, 0);
    EXPECT_FALSE(std::filesystem::exists(directory_ / "bid.json"));
    end_tasks(loop_, tasks_);
    call_.nonce += "n";
    call_.expires_ms = clock_.utc_ms() + 50'000;
  }
}

TEST_F(BidderClaimTest, WhoHeldTheSaleKnowsOfIt) {
  refusal_ = Error{Code::kNotFound, "no such sale here"};
  win_at_the_seller();
  ASSERT_TRUE(ends());
  EXPECT_EQ(claims_, 1);
  EXPECT_EQ(wallet_->totals().held_ucredits, 0);
}

TEST_F(BidderClaimTest, ARefusalIsFinalInAnExchangeToo) {
  refusal_ = Error{Code::kRefused, "this ICON has won nothing here"};
  win_in_an_exchange();
  ASSERT_TRUE(ends());
  EXPECT_EQ(claims_, 1);
}

}  // namespace
}  // namespace icon::agent
