// What providers say about their distance to users: who is asked what, and what is believed.
#include "agent/ping_book.h"

#include <gtest/gtest.h>

namespace icon::agent {
namespace {

class PingBookTest : public ::testing::Test {
 protected:
  static Representatives users(std::uint32_t count) {
    Representatives chosen;
    for (std::uint32_t i = 0; i < count; ++i) {
      chosen.users.push_back(Address::v4(0x08000001u + i * 256));
      chosen.prefixes.push_back(Prefix::of_user(chosen.users.back()));
    }
    return chosen;
  }
  wire::PingReport answer(const wire::Envelope& request, std::int64_t rtt_us) {
    const auto asked = *wire::open<wire::PingRequest>(request);
    wire::PingReport report;
    report.provider = provider_.public_key();
    report.request_digest = request.digest();
    for (const auto& target : asked.targets) report.figures.push_back({target, rtt_us, 3, ""});
    report.issued_ms = clock_.utc_ms();
    report.expires_ms = report.issued_ms + 60'000;
    return report;
  }
  std::optional<wire::Envelope> due(const Representatives& of, bool may_know_private = false) {
    return book_.due(icon_, provider_.public_key(), of, may_know_private);
  }
  Status take(const wire::PingReport& report, const wire::Envelope& request) {
    return book_.take(*wire::seal(provider_, report), provider_.public_key(), request.digest());
  }

  FakeClock clock_;
  KeyPair icon_ = KeyPair::generate();
  KeyPair provider_ = KeyPair::generate();
  PingBook book_{clock_};
};

TEST_F(PingBookTest, AsksOnceUntilTheFiguresAreOld) {
  const auto few = users(3);
  const auto request = due(few);
  ASSERT_TRUE(request);
  EXPECT_EQ(wire::open<wire::PingRequest>(*request)->targets, few.users);
  ASSERT_TRUE(take(answer(*request, 7'000), *request));
  EXPECT_EQ(book_.figures(provider_.id()).at(few.prefixes[1]), 7'000);
  EXPECT_FALSE(due(few));
  EXPECT_EQ(wire::open<wire::PingRequest>(*due(users(4)))->targets.size(), 1u);
  clock_.advance(Millis(121'000));
  EXPECT_TRUE(book_.figures(provider_.id()).empty());
  EXPECT_TRUE(due(few));
}

TEST_F(PingBookTest, NamesTheHeaviestOnlyAndPrivateOnesToNobodyUnknown) {
  EXPECT_EQ(wire::open<wire::PingRequest>(*due(users(100)))->targets.size(), 32u);
  Representatives home{{*Address::parse("10.0.0.1")}, {*Prefix::parse("10.0.0.0/24")}};
  EXPECT_FALSE(due(home));
  EXPECT_TRUE(due(home, true));
}

TEST_F(PingBookTest, BelievesOnlyTheOneWhoWasAskedAboutWhomWeAsked) {
  const auto request = *due(users(2));
  auto report = answer(request, 5'000);
  report.request_digest = std::string(64, 'a');
  EXPECT_EQ(take(report, request).error().code, Code::kUnauthenticated);

  const KeyPair other = KeyPair::generate();
  report = answer(request, 5'000);
  report.provider = other.public_key();
  EXPECT_EQ(
      book_.take(*wire::seal(other, report), provider_.public_key(), request.digest()).error().code,
      Code::kUnauthenticated);

  report = answer(request, 5'000);
  report.figures.push_back({*Address::parse("9.9.9.9"), 1, 3, ""});
  ASSERT_TRUE(take(report, request));
  EXPECT_EQ(book_.figures(provider_.id()).size(), 2u);

  clock_.advance(Millis(200'000));
  const auto later = *due(users(2));
  report = answer(later, 5'000);
  report.expires_ms = report.issued_ms - 100'000;
  EXPECT_FALSE(take(report, later));
}

TEST_F(PingBookTest, WhoeverDoesNotAnswerIsLeftAloneForAWhile) {
  EXPECT_TRUE(due(users(1)));
  book_.put_off(provider_.public_key());
  EXPECT_FALSE(due(users(1)));
  clock_.advance(Millis(60'000));
  EXPECT_TRUE(due(users(1)));
}

}  // namespace
}  // namespace icon::agent
