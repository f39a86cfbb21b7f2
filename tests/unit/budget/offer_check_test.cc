#include "budget/offer_check.h"

#include <gtest/gtest.h>

namespace icon::budget {
namespace {

constexpr UtcMillis kNow = 1'700'000'000'000;

class OfferCheck : public testing::Test {
 protected:
  OfferCheck() {
    offer_.provider = key_.public_key();
    offer_.provider_name = "edge";
    offer_.nonce = "n1";
    offer_.resources = {1000, 1 << 30, 100'000'000};
    offer_.slot_seconds = 3600;
    offer_.price_ucredits = 300'000;
    offer_.api = *Endpoint::parse("198.51.100.7:7946");
    offer_.public_address = *Address::parse("198.51.100.7");
    offer_.issued_ms = kNow - 100;
    offer_.expires_ms = kNow + 30'000;
    request_.expected_id = key_.public_key();
    request_.observed_id = key_.id();
    request_.nonce = "n1";
    request_.need = {500, 1 << 28, 100'000'000};
    request_.slot_seconds = 3600;
    request_.limits = {max_price_limit(500'000), budget_limit(5'000'000)};
  }

  std::string code() const {
    const auto verdict = check_offer(*wire::seal(key_, offer_), request_, kNow);
    EXPECT_EQ(verdict.accepted(), !verdict.rejection);
    if (!verdict.rejection) return "accepted";
    EXPECT_FALSE(verdict.rejection->message.empty());
    return verdict.rejection->code;
  }

  KeyPair key_ = KeyPair::generate();
  KeyPair other_ = KeyPair::generate();
  wire::Offer offer_;
  OfferRequest request_;
};

TEST_F(OfferCheck, AcceptsWhatWasAskedFor) {
  EXPECT_EQ(code(), "accepted");
  request_.expected_id.reset();
  request_.observed_id.clear();
  EXPECT_EQ(code(), "accepted");
}

TEST_F(OfferCheck, ANameThatLeadsToAnotherKey) {
  request_.expected_id = other_.public_key();
  EXPECT_EQ(code(), "key_mismatch");
  request_.expected_id = key_.public_key();
  request_.observed_id = other_.id();
  EXPECT_EQ(code(), "key_mismatch");
  // Signed by one key in the name of another.
  const auto envelope = *wire::seal(other_, offer_);
  request_.expected_id.reset();
  request_.observed_id.clear();
  EXPECT_EQ(check_offer(envelope, request_, kNow).rejection->code, "bad_signature");
}

TEST_F(OfferCheck, AnOfferThatWasTamperedWith) {
  auto envelope = *wire::seal(key_, offer_);
  envelope.body["price_ucredits"] = 1;
  const auto verdict = check_offer(envelope, request_, kNow);
  EXPECT_EQ(verdict.rejection->code, "bad_signature");
  EXPECT_FALSE(verdict.offer);
}

TEST_F(OfferCheck, AnotherDocumentIsNoOffer) {
  const auto envelope = *wire::seal(key_, "bid", offer_.to_json());
  EXPECT_EQ(check_offer(envelope, request_, kNow).rejection->code, "malformed");
  EXPECT_EQ(check_offer(json::Value("offer"), request_, kNow).rejection->code, "malformed");
}

TEST_F(OfferCheck, Replays) {
  request_.nonce = "n2";
  EXPECT_EQ(code(), "nonce_mismatch");
}

TEST_F(OfferCheck, Times) {
  offer_.expires_ms = kNow;
  EXPECT_EQ(code(), "expired");
  offer_.issued_ms = kNow + wire::kClockSkewMax.count() + 1;
  offer_.expires_ms = offer_.issued_ms + 1000;
  EXPECT_EQ(code(), "not_yet_valid");
  offer_.issued_ms = kNow;
  offer_.expires_ms = kNow + kOfferLifetimeMax.count() + 1;
  EXPECT_EQ(code(), "malformed");
}

TEST_F(OfferCheck, TooLittle) {
  offer_.resources.memory_bytes = request_.need.memory_bytes - 1;
  EXPECT_EQ(code(), "resources_short");
  offer_.resources.memory_bytes = request_.need.memory_bytes;
  offer_.slot_seconds = 3599;
  EXPECT_EQ(code(), "slot_short");
}

TEST_F(OfferCheck, WhoDoesNotSayWhereItStandsIsRefusedWhereThatMatters) {
  request_.residency = {{"DE", "FR"}, {"campus"}};
  EXPECT_EQ(code(), "residency");
  offer_.country = "FR";
  EXPECT_EQ(code(), "residency");
  offer_.kind = "cloud";
  EXPECT_EQ(code(), "residency");
  offer_.kind = "campus";
  EXPECT_EQ(code(), "accepted");
  offer_.country = "US";
  const auto verdict = check_offer(*wire::seal(key_, offer_), request_, kNow);
  ASSERT_TRUE(verdict.rejection);
  EXPECT_EQ(verdict.rejection->message, "its country is US, and the policy wants DE or FR");
  request_.residency = {};
  EXPECT_EQ(code(), "accepted");
  offer_.country = "Germany";
  EXPECT_EQ(code(), "malformed");
}

TEST_F(OfferCheck, PricesEachWithItsReason) {
  offer_.price_ucredits = 500'000;
  EXPECT_EQ(code(), "accepted");
  offer_.price_ucredits = 500'001;
  EXPECT_EQ(code(), "over_max_price");
  request_.limits = {budget_limit(500'000)};
  EXPECT_EQ(code(), "over_budget");
  offer_.price_ucredits = 900'000;
  request_.limits = {gain_limit(400'000)};
  const auto verdict = check_offer(*wire::seal(key_, offer_), request_, kNow);
  EXPECT_EQ(verdict.rejection->code, "too_dear");
  EXPECT_EQ(verdict.rejection->message,
            "too dear: 900000 > 400000 micro-credits that the gain is worth over the horizon");
  EXPECT_TRUE(verdict.offer);  // genuine: the evidence can say by how much it lost
  EXPECT_FALSE(verdict.accepted());
}

}  // namespace
}  // namespace icon::budget
