#include "budget/purse/purse.h"

#include <gtest/gtest.h>

#include <random>

namespace icon::budget {
namespace {

constexpr UtcMillis kNow = 1'700'000'000'000;
constexpr UtcMillis kLater = kNow + 60'000;

class PurseTest : public testing::Test {
 protected:
  Purse make(MicroCredits budget = 1'000) { return *Purse::create(store_, budget, kNow); }
  MemoryPurseStore store_;
};

TEST_F(PurseTest, HoldSettleRelease) {
  auto purse = make();
  EXPECT_TRUE(purse.hold("a", 300, kLater, kNow));
  EXPECT_TRUE(purse.hold("b", 200, kLater, kNow));
  EXPECT_EQ(purse.available(), 500);
  EXPECT_TRUE(purse.settle("a", 250, kNow));
  EXPECT_EQ(purse.state().spent(), 250);
  EXPECT_EQ(purse.available(), 550);
  EXPECT_TRUE(purse.release("b", kNow));
  EXPECT_EQ(purse.state().held(), 0);
  EXPECT_EQ(purse.available(), 750);
}

TEST_F(PurseTest, NeverMoreThanTheBudget) {
  auto purse = make();
  EXPECT_TRUE(purse.hold("a", 600, kLater, kNow));
  const auto refused = purse.hold("b", 401, kLater, kNow);
  EXPECT_EQ(refused.error().code, Code::kLimit);
  EXPECT_EQ(refused.error().message, "purse: 0.000401 credits asked, 0.0004 of 0.001 left");
  EXPECT_TRUE(purse.hold("b", 400, kLater, kNow));
  EXPECT_EQ(purse.hold("c", 1, kLater, kNow).error().code, Code::kLimit);
  EXPECT_TRUE(purse.hold("free", 0, kLater, kNow));
  EXPECT_EQ(purse.settle("a", 601, kNow).error().code, Code::kLimit);
}

TEST_F(PurseTest, RepeatingChangesNothing) {
  auto purse = make();
  EXPECT_TRUE(purse.hold("a", 300, kLater, kNow));
  EXPECT_TRUE(purse.hold("a", 300, kLater, kNow));
  EXPECT_EQ(purse.state().held(), 300);
  EXPECT_TRUE(purse.settle("a", 100, kNow));
  EXPECT_TRUE(purse.settle("a", 100, kNow));
  EXPECT_EQ(purse.state().spent(), 100);
  EXPECT_TRUE(purse.refund("a", 40, kNow));
  EXPECT_TRUE(purse.refund("a", 40, kNow));
  EXPECT_EQ(purse.state().spent(), 60);
  EXPECT_TRUE(purse.settle("a", 100, kNow));  // the bill, not what is left of it
  EXPECT_TRUE(purse.hold("b", 1, kLater, kNow));
  EXPECT_TRUE(purse.release("b", kNow));
  EXPECT_TRUE(purse.release("b", kNow));
  EXPECT_EQ(*purse.expire(kLater), 0);
}

TEST_F(PurseTest, ContradictionsAreRefused) {
  auto purse = make();
  EXPECT_EQ(purse.settle("x", 1, kNow).error().code, Code::kNotFound);
  EXPECT_EQ(purse.release("x", kNow).error().code, Code::kNotFound);
  EXPECT_EQ(purse.refund("x", 1, kNow).error().code, Code::kNotFound);
  EXPECT_TRUE(purse.hold("a", 300, kLater, kNow));
  EXPECT_EQ(purse.hold("a", 301, kLater, kNow).error().code, Code::kConflict);
  EXPECT_EQ(purse.hold("a", 300, kLater + 1, kNow).error().code, Code::kConflict);
  EXPECT_EQ(purse.refund("a", 1, kNow).error().code, Code::kConflict);
  EXPECT_TRUE(purse.settle("a", 300, kNow));
  EXPECT_EQ(purse.settle("a", 299, kNow).error().code, Code::kConflict);
  EXPECT_EQ(purse.release("a", kNow).error().code, Code::kConflict);
  EXPECT_EQ(purse.hold("a", 300, kLater, kNow).error().code, Code::kConflict);
  EXPECT_EQ(purse.refund("a", 301, kNow).error().code, Code::kLimit);
  EXPECT_TRUE(purse.refund("a", 200, kNow));
  EXPECT_EQ(purse.refund("a", 100, kNow).error().code, Code::kConflict);
}

TEST_F(PurseTest, ReleasedMoneyCannotBePaid) {
  auto purse = make();
  EXPECT_TRUE(purse.hold("a", 300, kLater, kNow));
  EXPECT_TRUE(purse.release("a", kNow));
  EXPECT_EQ(purse.settle("a", 300, kNow).error().code, Code::kConflict);
}

TEST_F(PurseTest, HoldsExpire) {
  auto purse = make();
  EXPECT_EQ(purse.hold("late", 1, kNow, kNow).error().code, Code::kExpired);
  EXPECT_TRUE(purse.hold("a", 300, kLater, kNow));
  EXPECT_TRUE(purse.hold("b", 300, kLater + 1, kNow));
  EXPECT_EQ(*purse.expire(kLater - 1), 0);
  EXPECT_EQ(*purse.expire(kLater), 1);
  EXPECT_EQ(purse.available(), 700);
  EXPECT_EQ(purse.settle("a", 300, kLater).error().code, Code::kConflict);
  EXPECT_TRUE(purse.release("a", kLater));
}

TEST_F(PurseTest, AmountsAndIdsHaveLimits) {
  auto purse = make(kMicroCreditsMax);
  EXPECT_EQ(purse.hold("a", -1, kLater, kNow).error().code, Code::kInvalid);
  EXPECT_EQ(purse.hold("a", kMicroCreditsMax + 1, kLater, kNow).error().code, Code::kInvalid);
  EXPECT_EQ(purse.hold("", 1, kLater, kNow).error().code, Code::kInvalid);
  EXPECT_EQ(purse.hold(std::string(kHoldIdBytesMax + 1, 'a'), 1, kLater, kNow).error().code,
            Code::kInvalid);
  for (std::size_t i = 0; i < kHoldsOpenMax; ++i)
    ASSERT_TRUE(purse.hold("h" + std::to_string(i), 1, kLater, kNow));
  EXPECT_EQ(purse.hold("one more", 1, kLater, kNow).error().code, Code::kLimit);
  EXPECT_TRUE(purse.release("h7", kNow));
  EXPECT_TRUE(purse.hold("one more", 1, kLater, kNow));
  MemoryPurseStore other;
  EXPECT_EQ(Purse::create(other, -1, kNow).error().code, Code::kInvalid);
}

TEST_F(PurseTest, TheBudgetMayChangeButNotBelowWhatIsGone) {
  auto purse = make();
  EXPECT_TRUE(purse.hold("a", 600, kLater, kNow));
  EXPECT_EQ(purse.set_budget(599, kNow).error().code, Code::kLimit);
  EXPECT_TRUE(purse.set_budget(600, kNow));
  EXPECT_EQ(purse.available(), 0);
  EXPECT_TRUE(purse.set_budget(2'000, kNow));
  EXPECT_EQ(purse.available(), 1'400);
}

TEST_F(PurseTest, ReopeningGivesTheSameState) {
  auto purse = make();
  ASSERT_TRUE(purse.hold("a", 300, kLater, kNow));
  ASSERT_TRUE(purse.settle("a", 200, kNow));
  ASSERT_TRUE(purse.refund("a", 50, kNow));
  ASSERT_TRUE(purse.hold("b", 100, kLater, kNow));
  EXPECT_EQ(Purse::open(store_)->state(), purse.state());
}

TEST_F(PurseTest, AnEmptyLogIsNoFreshPurse) {
  EXPECT_EQ(Purse::open(store_).error().code, Code::kNotFound);
  make();
  EXPECT_EQ(Purse::create(store_, 5, kNow).error().code, Code::kConflict);
}

TEST_F(PurseTest, ALogThatContradictsItselfIsRefused) {
  make();
  ASSERT_TRUE(store_.append({2, PurseEntry::Kind::kSettle, "nobody", 5, kNow, 0}));
  EXPECT_EQ(Purse::open(store_).error().code, Code::kInvalid);
  MemoryPurseStore headless;
  ASSERT_TRUE(headless.append({1, PurseEntry::Kind::kHold, "a", 5, kNow, kLater}));
  EXPECT_EQ(Purse::open(headless).error().code, Code::kInvalid);
}

TEST_F(PurseTest, AStoreThatFailsBeforeTheWriteChangesNothing) {
  auto purse = make();
  store_.fail_next_append(/*written=*/false);
  EXPECT_EQ(purse.hold("a", 300, kLater, kNow).error().code, Code::kIo);
  EXPECT_EQ(purse.available(), 1'000);
  EXPECT_TRUE(purse.hold("a", 300, kLater, kNow));
  EXPECT_EQ(purse.state().held(), 300);
}

TEST_F(PurseTest, AStoreThatFailsAfterTheWriteIsReadAgain) {
  auto purse = make();
  store_.fail_next_append(/*written=*/true);
  EXPECT_EQ(purse.hold("a", 900, kLater, kNow).error().code, Code::kIo);
  // The money may be promised: it must not be given out twice.
  EXPECT_EQ(purse.hold("b", 200, kLater, kNow).error().code, Code::kLimit);
  EXPECT_TRUE(purse.hold("a", 900, kLater, kNow));
  EXPECT_EQ(purse.state().held(), 900);
}

TEST_F(PurseTest, ASecondWriterIsNoticed) {
  auto first = make();
  auto second = *Purse::open(store_);
  EXPECT_TRUE(first.hold("a", 900, kLater, kNow));
  EXPECT_EQ(second.hold("b", 900, kLater, kNow).error().code, Code::kConflict);
  EXPECT_EQ(second.hold("b", 900, kLater, kNow).error().code, Code::kLimit);
  EXPECT_EQ(second.state().held(), 900);
}

// I4 over random operations, with a store that fails now and then, and a model that only counts.
TEST_F(PurseTest, RandomOperationsKeepTheInvariant) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  auto purse = make();
  UtcMillis now = kNow;
  for (int i = 0; i < 20'000; ++i) {
    const std::string id = "h" + std::to_string(random() % 400);
    const auto amount = static_cast<MicroCredits>(random() % 300);
    now += static_cast<std::int64_t>(random() % 50);
    if (random() % 20 == 0) store_.fail_next_append(random() % 2 == 0);
    switch (random() % 7) {
      case 0:
      case 1:
        (void)purse.hold(id, amount, now + 500, now);
        break;
      case 2:
        (void)purse.settle(id, amount, now);
        break;
      case 3:
        (void)purse.release(id, now);
        break;
      case 4:
        (void)purse.refund(id, amount, now);
        break;
      case 5:
        (void)purse.expire(now);
        break;
      case 6:
        if (random() % 10 == 0) (void)purse.set_budget(500 + amount * 5, now);
        break;
    }
    MicroCredits held = 0;
    MicroCredits spent = 0;
    for (const auto& [name, hold] : purse.state().holds()) {
      if (hold.state == Hold::State::kHeld) held += hold.amount;
      spent += hold.paid;
    }
    ASSERT_EQ(held, purse.state().held());
    ASSERT_EQ(spent, purse.state().spent());
    ASSERT_LE(spent + held, purse.state().budget());
    if (i % 1000 == 0) {
      auto reopened = Purse::open(store_);
      ASSERT_TRUE(reopened);
      ASSERT_GE(reopened->state().sequence(), purse.state().sequence());
    }
  }
}

}  // namespace
}  // namespace icon::budget
