#include "supervisor/continuity/contracts.h"

#include <gtest/gtest.h>

#include "tests/unit/base/http_rig.h"

namespace icon::supervisor {
namespace {

// Two hosts of one owner; each has its own journal.
class ContractsTest : public ::testing::Test {
 protected:
  struct Side {
    Side(const std::string& path, const PublicKey& other, KeyPair own, const Clock& clock)
        : key(std::move(own)), journal(std::move(*Journal::open(path))) {
      config.capacity = {2'000, 4'000, 1'000};
      config.continuity.mode = ContinuityMode::kCluster;
      config.continuity.contract_seconds = 300;
      config.continuity.siblings.push_back(
          {"other", other, *Endpoint::parse("192.0.2.1:7946"), "", ""});
      contracts = std::make_unique<Contracts>(config, key, clock, *journal);
    }
    PublicKey id() const { return key.public_key(); }
    KeyPair key;
    Config config;
    std::unique_ptr<Journal> journal;
    std::unique_ptr<Contracts> contracts;
  };

  ContractsTest() {
    auto left = KeyPair::generate();
    auto right = KeyPair::generate();
    const auto left_id = left.public_key();
    a_ = std::make_unique<Side>(directory_ / "a.db", right.public_key(), std::move(left), clock_);
    b_ = std::make_unique<Side>(directory_ / "b.db", left_id, std::move(right), clock_);
  }
  // As a's call to b ends.
  wire::Envelope agree() {
    const auto proposal = a_->contracts->propose(b_->id());
    EXPECT_TRUE(proposal) << proposal.error().message;
    const auto contract = b_->contracts->accept(*proposal, a_->id());
    EXPECT_TRUE(contract) << contract.error().message;
    const auto noted = a_->contracts->note(b_->id(), *contract);
    EXPECT_TRUE(noted) << noted.error().message;
    return *contract;
  }
  wire::ContinuityProposal body_of(const wire::Envelope& proposal) {
    return *wire::ContinuityProposal::from_json(proposal.body);
  }

  test::TempDir directory_;
  FakeClock clock_;
  std::unique_ptr<Side> a_;
  std::unique_ptr<Side> b_;
};

TEST_F(ContractsTest, MadeRenewedOver) {
  EXPECT_TRUE(a_->contracts->is_due(b_->id()));
  EXPECT_FALSE(a_->contracts->held(b_->id()));
  const auto first = agree();
  EXPECT_FALSE(a_->contracts->is_due(b_->id()));
  EXPECT_EQ(a_->contracts->held(b_->id())->digest(), first.digest());
  EXPECT_EQ(b_->contracts->usable(first, a_->id())->resources.cpu_millis, 2'000);

  clock_.advance(Millis(201'000));
  EXPECT_TRUE(a_->contracts->is_due(b_->id()));
  const auto second = agree();
  EXPECT_NE(first.digest(), second.digest());
  EXPECT_TRUE(b_->contracts->usable(second, a_->id()));
  // Replaced, though its time is not over.
  EXPECT_EQ(b_->contracts->usable(first, a_->id()).error().code, Code::kExpired);

  clock_.advance(Millis(301'000 + wire::kClockSkewMax.count()));
  EXPECT_FALSE(a_->contracts->held(b_->id()));
  EXPECT_EQ(b_->contracts->usable(second, a_->id()).error().code, Code::kExpired);
}

TEST_F(ContractsTest, AnAnswerThatWasLost) {
  const auto proposal = *a_->contracts->propose(b_->id());
  const auto lost = *b_->contracts->accept(proposal, a_->id());
  EXPECT_EQ(a_->contracts->propose(b_->id())->digest(), proposal.digest());
  EXPECT_EQ(b_->contracts->accept(proposal, a_->id())->digest(), lost.digest());
  EXPECT_TRUE(a_->contracts->note(b_->id(), lost));
}

TEST_F(ContractsTest, ASiblingThatHasLostItsJournalIsAskedAgain) {
  const auto forgotten = agree();
  ASSERT_TRUE(b_->journal->remove_value("continuity/given/" + a_->id().id()));
  EXPECT_EQ(b_->contracts->usable(forgotten, a_->id()).error().code, Code::kExpired);
  EXPECT_FALSE(a_->contracts->is_due(b_->id()));
  a_->contracts->lost(b_->id());
  EXPECT_FALSE(a_->contracts->held(b_->id()));
  EXPECT_TRUE(a_->contracts->is_due(b_->id()));
  EXPECT_TRUE(b_->contracts->usable(agree(), a_->id()));
}

TEST_F(ContractsTest, AnOldProposalDoesNotComeBack) {
  const auto old = *a_->contracts->propose(b_->id());
  ASSERT_TRUE(b_->contracts->accept(old, a_->id()));
  a_->contracts->forget_proposal(b_->id());
  agree();
  EXPECT_EQ(b_->contracts->accept(old, a_->id()).error().code, Code::kConflict);
}

TEST_F(ContractsTest, StrangersForgersAndThoseWhoWantTooMuch) {
  const auto good = *a_->contracts->propose(b_->id());
  const auto stranger = KeyPair::generate();
  EXPECT_EQ(b_->contracts->accept(good, stranger.public_key()).error().code,
            Code::kUnauthenticated);
  auto theirs = body_of(good);
  theirs.from = stranger.public_key();
  EXPECT_EQ(
      b_->contracts->accept(*wire::seal(stranger, theirs), stranger.public_key()).error().code,
      Code::kUnauthenticated);
  auto forged = good;
  forged.body["standbys_max"] = 200;
  EXPECT_EQ(b_->contracts->accept(forged, a_->id()).error().code, Code::kUnauthenticated);
  auto elsewhere = body_of(good);
  elsewhere.to = stranger.public_key();
  EXPECT_EQ(b_->contracts->accept(*wire::seal(a_->key, elsewhere), a_->id()).error().code,
            Code::kUnauthenticated);
  auto many = body_of(good);
  many.standbys_max = 17;
  EXPECT_EQ(b_->contracts->accept(*wire::seal(a_->key, many), a_->id()).error().code, Code::kLimit);
  auto long_one = body_of(good);
  long_one.expires_ms += 300'000;
  EXPECT_EQ(b_->contracts->accept(*wire::seal(a_->key, long_one), a_->id()).error().code,
            Code::kLimit);
  b_->config.continuity.mode = ContinuityMode::kSingle;
  EXPECT_EQ(b_->contracts->accept(good, a_->id()).error().code, Code::kRefused);
}

TEST_F(ContractsTest, AContractIsForTheTwoThatSignedIt) {
  const auto contract = agree();
  const auto stranger = KeyPair::generate();
  EXPECT_EQ(b_->contracts->usable(contract, stranger.public_key()).error().code,
            Code::kUnauthenticated);
  EXPECT_EQ(a_->contracts->usable(contract, b_->id()).error().code, Code::kUnauthenticated);
  // Signed by somebody else around our own proposal.
  const auto proposal = *a_->contracts->propose(b_->id());
  auto body = *wire::ContinuityContract::from_json(contract.body);
  body.proposal = proposal;
  body.provider = stranger.public_key();
  EXPECT_EQ(a_->contracts->note(b_->id(), *wire::seal(stranger, body)).error().code,
            Code::kUnauthenticated);
  // Not ours any more when the owner has taken the sibling off the list.
  b_->config.continuity.siblings.clear();
  EXPECT_EQ(b_->contracts->usable(contract, a_->id()).error().code, Code::kUnauthenticated);
}

}  // namespace
}  // namespace icon::supervisor
