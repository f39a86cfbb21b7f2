#include "budget/purse/tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/sim/purse_tree_game.h"

namespace icon::budget {
namespace {

using ::testing::HasSubstr;

constexpr UtcMillis kNow = 1'700'000'000'000;
constexpr UtcMillis kLater = kNow + 60'000;

struct Member {
  KeyPair key = KeyPair::generate();
  Lineage lineage{key.public_key(), {}};
  MemoryPurseStore store;
  std::optional<Purse> purse;

  explicit Member(const Member* parent, MicroCredits cap = 0) {
    if (parent != nullptr) {
      lineage.above = parent->lineage.above;
      lineage.above.insert(lineage.above.begin(), parent->lineage.self);
    }
    purse.emplace(*Purse::create(store, cap, kNow));
  }
  Result<wire::Envelope> give(const Member& child, MicroCredits total) {
    return share_with(*purse, key, lineage, child.lineage.self, total, kNow);
  }
  Status take(const wire::Envelope& share) { return accept_share(*purse, lineage, share, kNow); }
  Result<wire::Envelope> rest(const Member& grantor, const Member& to) {
    return return_rest(*purse, key, lineage, grantor.lineage.self, to.lineage.self, kNow);
  }
  Status take_back(const wire::Envelope& returned, const std::vector<wire::Envelope>& path = {}) {
    return accept_return(*purse, lineage, returned, path, kNow);
  }
};

class TreeTest : public testing::Test {
 protected:
  Member root_{nullptr, 1'000};
  Member child_{&root_};
  Member grandchild_{&child_};
};

TEST_F(TreeTest, MoneyGoesDownAndComesBack) {
  const auto share = *root_.give(child_, 600);
  EXPECT_EQ(root_.purse->available(), 400);
  EXPECT_EQ(root_.purse->hold("a", 401, kLater, kNow).error().code, Code::kLimit);
  EXPECT_TRUE(child_.take(share));
  EXPECT_EQ(child_.purse->available(), 600);
  EXPECT_TRUE(child_.purse->hold("b", 100, kLater, kNow));
  EXPECT_TRUE(child_.purse->settle("b", 100, kNow));
  const auto back = *child_.rest(root_, root_);
  EXPECT_EQ(child_.purse->available(), 0);
  EXPECT_TRUE(root_.take_back(back));
  EXPECT_EQ(root_.purse->available(), 900);
  EXPECT_EQ(root_.purse->state().shared(), 100);
}

TEST_F(TreeTest, RepeatedAndLateMessagesChangeNothing) {
  const auto first = *root_.give(child_, 300);
  const auto second = *root_.give(child_, 500);
  EXPECT_TRUE(child_.take(second));
  EXPECT_TRUE(child_.take(first));
  EXPECT_TRUE(child_.take(second));
  EXPECT_EQ(child_.purse->available(), 500);
  const auto back = *child_.rest(root_, root_);
  EXPECT_TRUE(child_.take(second)) << "given back is given back";
  EXPECT_EQ(child_.purse->available(), 0);
  EXPECT_TRUE(root_.take_back(back));
  EXPECT_TRUE(root_.take_back(back));
  EXPECT_EQ(root_.purse->available(), 1'000);
  EXPECT_TRUE(root_.take_back(*child_.rest(root_, root_))) << "says the same again";
  EXPECT_EQ(root_.purse->available(), 1'000);
}

TEST_F(TreeTest, ACrashAfterTheLogRepeatsTheDocument) {
  root_.store.fail_next_append(true);
  EXPECT_EQ(root_.give(child_, 300).error().code, Code::kIo);
  const auto share = root_.give(child_, 300);
  ASSERT_TRUE(share);
  EXPECT_EQ(root_.purse->available(), 700);
  EXPECT_TRUE(child_.take(*share));
  EXPECT_EQ(child_.purse->available(), 300);
}

TEST_F(TreeTest, StrangersHaveNoSay) {
  Member stranger{nullptr, 1'000};
  const auto gift = *stranger.give(child_, 500);
  EXPECT_EQ(child_.take(gift).error().code, Code::kUnauthenticated);
  const auto other = *root_.give(stranger, 100);
  EXPECT_EQ(child_.take(other).error().code, Code::kUnauthenticated);
  auto forged = *root_.give(child_, 200);
  forged.body["total_ucredits"] = 900;
  EXPECT_EQ(child_.take(forged).error().code, Code::kUnauthenticated);
  EXPECT_EQ(child_.rest(root_, stranger).error().code, Code::kRefused);
  EXPECT_EQ(root_.give(root_, 1).error().code, Code::kInvalid);
  EXPECT_EQ(child_.give(root_, 1).error().code, Code::kInvalid);
}

TEST_F(TreeTest, NobodyReturnsMoreThanWentThatWay) {
  ASSERT_TRUE(root_.give(child_, 100));
  const wire::ShareReturn lie{child_.lineage.self, root_.lineage.self, root_.lineage.self, 101,
                              kNow};
  EXPECT_EQ(root_.take_back(*wire::seal(child_.key, lie)).error().code, Code::kLimit);
  EXPECT_EQ(root_.purse->available(), 900);
}

// The child is gone. Its child gives back to the root, and the root gives it anew.
TEST_F(TreeTest, AnOrphanIsAdopted) {
  const auto down = *root_.give(child_, 600);
  ASSERT_TRUE(child_.take(down));
  const auto further = *child_.give(grandchild_, 400);
  ASSERT_TRUE(grandchild_.take(further));
  const auto back = *grandchild_.rest(child_, root_);
  EXPECT_THAT(root_.take_back(back).error().message, HasSubstr("without the path"));
  EXPECT_THAT(root_.take_back(back, {further}).error().message, HasSubstr("gap"));
  EXPECT_THAT(root_.take_back(back, {down}).error().message, HasSubstr("somebody else"));
  ASSERT_TRUE(root_.take_back(back, {down, further}));
  EXPECT_EQ(root_.purse->available(), 800);
  EXPECT_EQ(root_.purse->state().shared(), 200) << "what the child that is gone may have spent";
  const auto anew = *root_.give(grandchild_, 500);
  EXPECT_TRUE(grandchild_.take(anew));
  EXPECT_EQ(grandchild_.purse->available(), 500);
  // Had it only been away, and came back: it still counts those 400 as given away.
  EXPECT_EQ(child_.purse->available(), 200);
  EXPECT_TRUE(root_.take_back(*child_.rest(root_, root_)));
  EXPECT_EQ(root_.purse->available() + grandchild_.purse->available(), 1'000);
}

TEST_F(TreeTest, OneReturnByTwoWaysCountsOnce) {
  const auto down = *root_.give(child_, 600);
  ASSERT_TRUE(child_.take(down));
  const auto further = *child_.give(grandchild_, 400);
  ASSERT_TRUE(grandchild_.take(further));
  Member great{&grandchild_};
  const auto last = *grandchild_.give(great, 200);
  ASSERT_TRUE(great.take(last));
  const auto adopted = *root_.give(grandchild_, 300);
  const auto back = *great.rest(grandchild_, root_);
  ASSERT_TRUE(root_.take_back(back, {down, further, last}));
  EXPECT_EQ(root_.purse->available(), 300);
  EXPECT_TRUE(root_.take_back(back, {adopted, last}));
  EXPECT_EQ(root_.purse->available(), 300);
}

TEST_F(TreeTest, AlertsRiseWithWhatIsGone) {
  auto& purse = *root_.purse;
  EXPECT_EQ(alert_level(purse.state()), 0);
  ASSERT_TRUE(purse.hold("a", 499, kLater, kNow));
  EXPECT_EQ(alert_level(purse.state()), 0);
  ASSERT_TRUE(purse.hold("b", 1, kLater, kNow));
  EXPECT_EQ(alert_level(purse.state()), 50);
  ASSERT_TRUE(root_.give(child_, 300));
  EXPECT_EQ(alert_level(purse.state()), 80);
  ASSERT_TRUE(root_.give(child_, 500));
  EXPECT_EQ(alert_level(purse.state()), 100);
  ASSERT_TRUE(purse.release("a", kNow));
  EXPECT_EQ(alert_level(purse.state()), 50);
  EXPECT_EQ(alert_level(child_.purse->state()), 0) << "nothing of nothing";
}

TEST(PurseTreeGameTest, TheCapHolds) {
  const auto findings = play_trees(1, 100);
  EXPECT_EQ(findings.failure, "");
  EXPECT_EQ(findings.games, 100);
  EXPECT_GT(findings.delivered, 300);
  EXPECT_GT(findings.crashes, 100);
  EXPECT_GT(findings.repeated, 50);
}

}  // namespace
}  // namespace icon::budget
