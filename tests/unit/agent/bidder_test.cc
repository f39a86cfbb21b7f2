#include "agent/bidder.h"

#include <gtest/gtest.h>

#include "base/encoding.h"

namespace icon::agent {
namespace {

constexpr UtcMillis kNow = 1'700'000'000'000;
const wire::Resources kNeed{500, 1'000, 1'000};

class ChooseSaleTest : public ::testing::Test {
 protected:
  ChooseSaleTest() {
    call_.auctioneer = provider_.public_key();
    call_.nonce = "n";
    call_.resources = {1'000, 1'000, 1'000};
    call_.slot_seconds = 600;
    call_.slots = 1;
    call_.seed_commitment = std::string(64, 'a');
    call_.issued_ms = kNow - 1'000;
    call_.commit_until_ms = kNow + 10'000;
    call_.reveal_until_ms = call_.start_ms = kNow + 20'000;
    call_.expires_ms = kNow + 80'000;
  }
  json::Object answer(const KeyPair& by) const {
    return {{"sales", json::Array{json::Object{{"call", wire::seal(by, call_)->to_json()}}}}};
  }
  bool chosen(const KeyPair& asked) const {
    return choose_sale(answer(provider_), asked.public_key(), rule_, kNeed, kNow).has_value();
  }

  KeyPair provider_ = KeyPair::generate();
  wire::AuctionCall call_;
  wire::AuctionCall::Rule rule_ = wire::AuctionCall::Rule::kUniform;
};

TEST_F(ChooseSaleTest, TakesAnOpenSaleOfWhatItNeeds) {
  const auto sale = choose_sale(answer(provider_), provider_.public_key(), rule_, kNeed, kNow);
  ASSERT_TRUE(sale);
  EXPECT_EQ(sale->id, sale->call_document.digest());
  EXPECT_EQ(sale->call.slot_seconds, 600);
}

TEST_F(ChooseSaleTest, PassesOverWhatIsNotForIt) {
  EXPECT_FALSE(chosen(KeyPair::generate())) << "another provider's call";
  auto forged = answer(provider_);
  forged["sales"].as_array()[0].as_object()["call"].as_object()["body"].as_object()["slots"] = 9;
  EXPECT_FALSE(choose_sale(forged, provider_.public_key(), rule_, kNeed, kNow));
  for (const char* text : {"{}", R"({"sales":1})", R"({"sales":[1,{},{"call":{}}]})"})
    EXPECT_FALSE(
        choose_sale(*json::parse_object(text, 100), provider_.public_key(), rule_, kNeed, kNow));
  call_.resources.cpu_millis = 499;
  EXPECT_FALSE(chosen(provider_)) << "too small";
  call_.resources.cpu_millis = 500;
  EXPECT_TRUE(chosen(provider_));
  call_.commit_until_ms = kNow + 900;
  EXPECT_FALSE(chosen(provider_)) << "no time left";
  call_.commit_until_ms = kNow + 10'000;
  call_.expires_ms = kNow + kHoldLifetime.count();
  EXPECT_FALSE(chosen(provider_)) << "its hold would expire on the way";
}

// What an exchange sells is a grid: a need is rounded up in it.
TEST_F(ChooseSaleTest, AnExchangeTakesAnyNeed) {
  call_.rule = wire::AuctionCall::Rule::kDouble;
  call_.slots = 0;
  call_.start_ms = 0;
  call_.resources = {100, 100, 100};
  EXPECT_FALSE(chosen(provider_)) << "it was not asked for one";
  rule_ = wire::AuctionCall::Rule::kDouble;
  const auto sale = choose_sale(answer(provider_), provider_.public_key(), rule_, kNeed, kNow);
  ASSERT_TRUE(sale);
  EXPECT_EQ(sale->resources.cpu_millis, kNeed.cpu_millis);
}

TEST(Exchange, WhereItIsAndWhoSellsThere) {
  const auto key = KeyPair::generate();
  const auto open = *Address::parse("198.51.100.7");
  const auto closed = *Address::parse("10.0.0.7");
  const auto pointer = [&](const std::string& api) {
    return json::Object{{"exchange", json::Object{{"id", key.id()}, {"api", api}}}};
  };
  EXPECT_FALSE(*exchange_in({}, open));
  const auto found = exchange_in(pointer("198.51.100.9:7946"), open);
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->id, key.public_key());
  EXPECT_FALSE(exchange_in(pointer("10.0.0.9:7946"), open)) << "sends us where it may not go";
  EXPECT_TRUE(exchange_in(pointer("10.0.0.9:7946"), closed));
  EXPECT_FALSE(exchange_in(pointer("nowhere"), open));
  EXPECT_FALSE(exchange_in({{"exchange", 1}}, open));
  EXPECT_FALSE(exchange_in({{"exchange", json::Object{{"id", "x"}}}}, open));

  EXPECT_EQ(sellers_in({{"sellers", json::Array{json::Value(key.id())}}})->size(), 1U);
  EXPECT_FALSE(sellers_in({}));
  EXPECT_FALSE(sellers_in({{"sellers", json::Array{}}}));
  EXPECT_FALSE(sellers_in({{"sellers", json::Array{1}}}));
  const json::Value again(key.id());
  EXPECT_FALSE(sellers_in({{"sellers", json::Array(65, again)}}));
}

}  // namespace
}  // namespace icon::agent
