#include "budget/auction/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/budget_auction/sample_record.h"

namespace icon::budget::auction {
namespace {

using ::testing::HasSubstr;
using wire::Envelope;

class RecordTest : public testing::Test {
 protected:
  std::string refused(const std::vector<Envelope>& documents) {
    const auto found = conclude(documents);
    return found ? "accepted" : found.error().message;
  }
  std::vector<Envelope> without(std::string_view type, std::size_t which = 0) const {
    auto left = sample_.documents;
    std::size_t seen = 0;
    std::erase_if(left, [&](const Envelope& each) { return each.type == type && seen++ == which; });
    return left;
  }

  SampleRecord sample_ = make_sample_record();
};

TEST_F(RecordTest, EverybodyComesToTheSameOutcome) {
  const auto found = conclude(sample_.documents);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->commits, 7);
  EXPECT_EQ(found->bids, 6);
  EXPECT_EQ(found->clearing.trades(), 2u);
  ASSERT_TRUE(found->outcome);
  EXPECT_EQ(found->clearing.forfeits.size(), 1u);
  auto shuffled = sample_.documents;
  std::reverse(shuffled.begin(), shuffled.end());
  shuffled.insert(shuffled.end(), sample_.documents.begin(), sample_.documents.end());
  EXPECT_EQ(conclude(shuffled)->clearing, found->clearing);
}

TEST_F(RecordTest, NothingCanBeLeftOut) {
  EXPECT_THAT(refused(without("auction_call")), HasSubstr("0 calls"));
  EXPECT_THAT(refused(without("auction_close")), HasSubstr("0 closes"));
  EXPECT_THAT(refused(without("auction_commit", 2)),
              HasSubstr("the close counts 7 commits, the record holds 6"));
  EXPECT_THAT(refused(without("auction_bid", 1)), HasSubstr("is not in the record"));
  // An acknowledgement that vanished with its bid: whoever holds it adds it, and it shows.
  EXPECT_THAT(refused(without("auction_ack", 1)), HasSubstr("not what follows"));
}

TEST_F(RecordTest, NothingCanBeChanged) {
  for (std::size_t i = 0; i < sample_.documents.size(); ++i) {
    auto changed = sample_.documents;
    changed[i].signature[5] ^= 1;
    EXPECT_THAT(refused(changed), HasSubstr("signature does not match")) << i;
  }
}

TEST_F(RecordTest, AnotherBidThanTheCommittedOne) {
  auto bid = sample_.bids[0];
  bid.price_ucredits += 1;
  auto documents = sample_.documents;
  std::replace_if(
      documents.begin(), documents.end(),
      [&](const Envelope& each) { return each.digest() == sample_.bid_digests[0]; },
      *wire::seal(sample_.parties[0], bid));
  EXPECT_THAT(refused(documents), HasSubstr("is not in the record"));
}

TEST_F(RecordTest, AnotherSeedThanThePromisedOne) {
  auto secret = sample_.secret;
  secret[0] ^= 1;
  const auto closed =
      close_auction(sample_.auctioneer, sample_.call, sample_.commits, secret, sample_.closed_ms);
  EXPECT_THAT(closed.error().message, HasSubstr("not what the call promised"));
}

TEST_F(RecordTest, TheSeedChangesWithEveryCommit) {
  const auto seed = seed_of("call", "commits", sample_.secret);
  EXPECT_NE(seed, seed_of("call", "other", sample_.secret));
  EXPECT_NE(seed, seed_of("other", "commits", sample_.secret));
  EXPECT_NE(seed, seed_of("call", "commits", blake2b("other")));
}

TEST_F(RecordTest, CommitsOutOfOrder) {
  auto commits = sample_.commits;
  wire::AuctionCommit second{sample_.call.digest(), sample_.parties[0].public_key(),
                             sample_.bid_digests[1], sample_.opened_ms};
  commits.push_back(*wire::seal(sample_.parties[0], second));
  const auto twice =
      close_auction(sample_.auctioneer, sample_.call, commits, sample_.secret, sample_.closed_ms);
  EXPECT_THAT(twice.error().message, HasSubstr("committed twice"));
  commits = sample_.commits;
  const auto stranger = KeyPair::generate();
  wire::AuctionCommit late{sample_.call.digest(), stranger.public_key(), sample_.bid_digests[1],
                           sample_.closed_ms};
  commits.push_back(*wire::seal(stranger, late));
  const auto too_late =
      close_auction(sample_.auctioneer, sample_.call, commits, sample_.secret, sample_.closed_ms);
  EXPECT_EQ(too_late.error().code, Code::kExpired);
  const auto early = close_auction(sample_.auctioneer, sample_.call, sample_.commits,
                                   sample_.secret, sample_.opened_ms);
  EXPECT_THAT(early.error().message, HasSubstr("at another time"));
  const auto forged = close_auction(sample_.parties[0], sample_.call, sample_.commits,
                                    sample_.secret, sample_.closed_ms);
  EXPECT_FALSE(forged);
}

TEST_F(RecordTest, SettlingIsForTheAuctioneerAfterTheReveals) {
  const auto open = without("auction_outcome");
  EXPECT_EQ(settle_auction(sample_.auctioneer, open, sample_.closed_ms + 1).error().code,
            Code::kConflict);
  EXPECT_EQ(settle_auction(sample_.parties[0], open, sample_.settled_ms).error().code,
            Code::kUnauthenticated);
  EXPECT_EQ(settle_auction(sample_.auctioneer, sample_.documents, sample_.settled_ms).error().code,
            Code::kConflict);
}

TEST_F(RecordTest, ALyingOutcome) {
  auto found = *conclude(sample_.documents);
  auto outcome = *found.outcome;
  auto documents = without("auction_outcome");
  outcome.trades += 1;
  documents.push_back(*wire::seal(sample_.auctioneer, outcome));
  EXPECT_THAT(refused(documents), HasSubstr("not what follows"));
  documents.push_back(sample_.documents.back());
  EXPECT_THAT(refused(documents), HasSubstr("two outcomes"));
}

// By then all have their deposits back.
TEST_F(RecordTest, AnOutcomeAfterTheCallHasExpired) {
  const auto found = *conclude(sample_.documents);
  auto documents = without("auction_outcome");
  EXPECT_EQ(settle_auction(sample_.auctioneer, documents, found.call.expires_ms).error().code,
            Code::kExpired);
  auto outcome = *found.outcome;
  outcome.issued_ms = found.call.expires_ms;
  documents.push_back(*wire::seal(sample_.auctioneer, outcome));
  EXPECT_THAT(refused(documents), HasSubstr("after its call had expired"));
}

TEST_F(RecordTest, DocumentsOfOtherKindsDoNotBelong) {
  auto documents = sample_.documents;
  documents.push_back(*wire::seal(sample_.auctioneer, "offer", {}));
  EXPECT_THAT(refused(documents), HasSubstr("does not belong here"));
}

}  // namespace
}  // namespace icon::budget::auction
