#include "lab/load_checker.h"

#include <gtest/gtest.h>

namespace icon::lab {
namespace {

ReplyChecker after_sending(std::initializer_list<const char*> expected) {
  ReplyChecker checker;
  for (const auto* reply : expected) checker.sent(reply);
  return checker;
}

TEST(ReplyChecker, RightRepliesInOrder) {
  auto checker = after_sending({":1", "+OK", "$0-0"});
  EXPECT_EQ(checker.received(":1"), Verdict::kRight);
  EXPECT_EQ(checker.received("+OK"), Verdict::kRight);
  EXPECT_EQ(checker.owed(), 1u);
  EXPECT_EQ(checker.received("$0-0"), Verdict::kRight);
  EXPECT_EQ(checker.counts(), (ReplyCounts{.right = 3}));
}

TEST(ReplyChecker, NoticesALostReply) {
  auto checker = after_sending({":1", "+OK", "$0-0"});
  checker.received(":1");
  EXPECT_EQ(checker.received("$0-0"), Verdict::kRight);
  EXPECT_EQ(checker.counts(), (ReplyCounts{.right = 2, .lost = 1}));
  EXPECT_EQ(checker.owed(), 0u);
}

TEST(ReplyChecker, NoticesARepeatedReply) {
  auto checker = after_sending({":1", "+OK", "$0-0", ":2", "+OK"});
  checker.received(":1");
  EXPECT_EQ(checker.received(":1"), Verdict::kDuplicated);
  EXPECT_EQ(checker.received("+OK"), Verdict::kRight);
  EXPECT_EQ(checker.received("+OK"), Verdict::kDuplicated) << "not the answer to the second SET";
  EXPECT_EQ(checker.counts(), (ReplyCounts{.right = 2, .duplicated = 2}));
}

TEST(ReplyChecker, NoticesRepliesThatChangePlaces) {
  auto checker = after_sending({":1", "+OK", "$0-0"});
  EXPECT_EQ(checker.received("+OK"), Verdict::kRight);
  EXPECT_EQ(checker.counts().lost, 1u);
  EXPECT_EQ(checker.received(":1"), Verdict::kReordered);
  EXPECT_EQ(checker.received("$0-0"), Verdict::kRight);
  EXPECT_EQ(checker.counts(), (ReplyCounts{.right = 2, .reordered = 1}));
}

TEST(ReplyChecker, NoticesAWriteThatWasForgotten) {
  // The service went back to a state before the last INCR: its counter says 1 again.
  auto checker = after_sending({":1", ":2"});
  checker.received(":1");
  EXPECT_EQ(checker.received(":0"), Verdict::kWrong);
  EXPECT_EQ(checker.counts(), (ReplyCounts{.right = 1, .wrong = 1}));
  EXPECT_EQ(checker.owed(), 0u) << "the wrong reply stands for the right one";
}

TEST(ReplyChecker, NoticesAWriteThatWasAppliedTwice) {
  auto checker = after_sending({":5"});
  EXPECT_EQ(checker.received(":6"), Verdict::kWrong);
}

TEST(ReplyChecker, AReplyNobodyAskedForIsWrong) {
  ReplyChecker checker;
  EXPECT_EQ(checker.received("+OK"), Verdict::kWrong);
}

TEST(ReplyChecker, TheFirstReplySetsTheStandard) {
  ReplyChecker checker;
  for (int i = 0; i < 3; ++i) checker.sent(std::nullopt);
  EXPECT_EQ(checker.received("200 hello"), Verdict::kRight);
  EXPECT_EQ(checker.received("200 hello"), Verdict::kRight);
  EXPECT_EQ(checker.received("502 bad gateway"), Verdict::kWrong);
  EXPECT_EQ(checker.received("200 hello"), Verdict::kDuplicated) << "nothing is owed";
}

TEST(ReplyChecker, WhatIsOwedAtTheEndIsLost) {
  auto checker = after_sending({":1", "+OK"});
  checker.received(":1");
  checker.give_up();
  EXPECT_EQ(checker.counts(), (ReplyCounts{.right = 1, .lost = 1}));
}

}  // namespace
}  // namespace icon::lab
