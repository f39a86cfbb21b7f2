#include "wire/auction.h"

#include <gtest/gtest.h>

namespace icon::wire {
namespace {

const std::string kDigest(64, 'a');

AuctionCall call() {
  AuctionCall made;
  made.nonce = "n";
  made.rule = AuctionCall::Rule::kDouble;
  made.resources = {500, 256 << 20, 10'000'000};
  made.slot_seconds = 3600;
  made.deposit_ucredits = 5;
  made.seed_commitment = kDigest;
  made.issued_ms = 1;
  made.commit_until_ms = 2;
  made.reveal_until_ms = 3;
  made.expires_ms = 4;
  return made;
}

template <class Document>
void comes_back(const Document& document) {
  const auto body = document.to_json();
  const auto read = Document::from_json(body);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*json::canonical(read->to_json()), *json::canonical(body));
}

TEST(AuctionDocumentsTest, WhatIsWrittenIsRead) {
  comes_back(call());
  comes_back(AuctionBid{kDigest, {}, AuctionBid::Side::kSell, {1, 2, 3}, 4, 5, 6, "n"});
  comes_back(AuctionCommit{kDigest, {}, kDigest, 7});
  comes_back(AuctionClose{kDigest, {}, kDigest, 8, kDigest, 9});
  comes_back(AuctionAck{kDigest, {}, kDigest, 10});
  comes_back(AuctionOutcome{kDigest, {}, kDigest, kDigest, 11, 12});
}

TEST(AuctionDocumentsTest, ACallMustMakeSense) {
  auto bad = call();
  bad.reveal_until_ms = bad.commit_until_ms;
  EXPECT_FALSE(AuctionCall::from_json(bad.to_json())) << "no time to reveal";
  bad = call();
  bad.resources.memory_bytes = 0;
  EXPECT_FALSE(AuctionCall::from_json(bad.to_json())) << "a grid without a unit";
  bad = call();
  bad.rule = AuctionCall::Rule::kUniform;
  EXPECT_FALSE(AuctionCall::from_json(bad.to_json())) << "no slot";
  bad.slots = 1;
  EXPECT_TRUE(AuctionCall::from_json(bad.to_json()));
  bad.deposit_ucredits = kAuctionDepositMax + 1;
  EXPECT_FALSE(AuctionCall::from_json(bad.to_json()));
  bad = call();
  bad.seed_commitment[3] = 'g';
  EXPECT_FALSE(AuctionCall::from_json(bad.to_json()));
  auto body = call().to_json();
  body["rule"] = "first-price";
  EXPECT_FALSE(AuctionCall::from_json(body));
}

}  // namespace
}  // namespace icon::wire
