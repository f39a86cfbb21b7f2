#include "agent/purchase.h"

#include <gtest/gtest.h>

namespace icon::agent {
namespace {

constexpr UtcMillis kNow = 1'700'000'000'000;

class CheckLeaseTest : public ::testing::Test {
 protected:
  wire::Envelope bid(std::int64_t slot_seconds = 3600) {
    wire::Bid body;
    body.icon = icon_.public_key();
    body.provider = provider_.public_key();
    body.offer_digest = std::string(64, 'a');
    body.slot_seconds = slot_seconds;
    body.price_ucredits = 500;
    body.epoch = 2;
    body.nonce = "n" + std::to_string(++nonces_);
    body.issued_ms = kNow;
    body.expires_ms = kNow + 60'000;
    return *wire::seal(icon_, body);
  }
  wire::Lease lease(const wire::Envelope& for_bid) {
    wire::Lease body;
    body.lease_id = "lease1";
    body.provider = provider_.public_key();
    body.bid = for_bid;
    body.issued_ms = body.start_ms = kNow;
    body.expires_ms = kNow + 3'600'000;
    return body;
  }
  KeyPair icon_ = KeyPair::generate();
  KeyPair provider_ = KeyPair::generate();
  int nonces_ = 0;
};

TEST_F(CheckLeaseTest, TheLeaseForOurBid) {
  const auto ours = bid();
  const auto checked = check_lease(*wire::seal(provider_, lease(ours)), ours, kNow + 1'000);
  ASSERT_TRUE(checked) << checked.error().message;
  EXPECT_EQ(checked->lease_id, "lease1");
}

TEST_F(CheckLeaseTest, AnotherBidsLeaseIsNotOurs) {
  const auto ours = bid();
  const auto other = bid();
  const auto checked = check_lease(*wire::seal(provider_, lease(other)), ours, kNow);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, Code::kUnauthenticated);
}

TEST_F(CheckLeaseTest, SomebodyElsesSignatureDoesNotDo) {
  const auto ours = bid();
  EXPECT_FALSE(check_lease(*wire::seal(KeyPair::generate(), lease(ours)), ours, kNow));
  auto tampered = *wire::seal(provider_, lease(ours));
  tampered.body["expires_ms"] = kNow + 7'200'000;
  EXPECT_FALSE(check_lease(tampered, ours, kNow));
}

TEST_F(CheckLeaseTest, TimesCount) {
  const auto ours = bid();
  auto body = lease(ours);
  EXPECT_FALSE(check_lease(*wire::seal(provider_, body), ours, body.expires_ms + 1));
  body.expires_ms = kNow + 60'000;  // paid for an hour
  EXPECT_FALSE(check_lease(*wire::seal(provider_, body), ours, kNow));
}

}  // namespace
}  // namespace icon::agent
