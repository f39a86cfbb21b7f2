#include "agent/family.h"

#include <gtest/gtest.h>

namespace icon::agent {
namespace {

constexpr UtcMillis kNow = 1'700'000'000'000;
constexpr std::int64_t kSilent = kKinSilentMax.count();
const auto kNetwork = *Prefix::parse("198.51.100.0/24");

wire::KinPlace place(const PublicKey& icon, const char* address) {
  return {icon, KeyPair::generate().public_key(), *Endpoint::parse(std::string(address) + ":7946"),
          *Address::parse(address)};
}

class FamilyTest : public testing::Test {
 protected:
  void SetUp() override {
    Child child;
    child.place = place(child_.public_key(), "192.0.2.1");
    child.ordered_at = me_.public_key();
    child.migration = "m1";
    child.ordered_ms = kNow;
    child.birth = *wire::seal(me_, "birth", {});
    child.groups = {{kNetwork, 4, 60'000}};
    child.may_end = true;
    ASSERT_TRUE(family_.ordered(child, kNow));
  }

  wire::KinReport report(UtcMillis issued_ms, wire::KinReport::State state = {}) const {
    wire::KinReport report;
    report.child = place(child_.public_key(), "192.0.2.7");
    report.to = me_.public_key();
    report.state = state;
    report.connections = 3;
    report.issued_ms = issued_ms;
    return report;
  }
  const Child& child() { return *family_.find(child_.public_key()); }
  static Child another(UtcMillis born_ms) {
    Child another;
    another.place = place(KeyPair::generate().public_key(), "192.0.2.8");
    another.state = Child::State::kServing;
    another.born_ms = born_ms;
    return another;
  }
  void fill(UtcMillis born_ms) {
    while (family_.children().size() < kChildrenMax)
      ASSERT_TRUE(family_.ordered(another(born_ms), born_ms));
  }

  const KeyPair me_ = KeyPair::generate();
  const KeyPair child_ = KeyPair::generate();
  const KeyPair parent_ = KeyPair::generate();
  const KeyPair grandparent_ = KeyPair::generate();
  Family family_;
};

TEST_F(FamilyTest, UsersAreLedToAChildThatSpeaks) {
  // One whose order is under way counts, and nobody is led to it.
  EXPECT_EQ(family_.replicas(2, kNow).running, 1);
  EXPECT_FALSE(family_.is_served_elsewhere(kNetwork, kNow));
  ASSERT_TRUE(family_.heard(report(kNow), kNow));
  EXPECT_EQ(child().state, Child::State::kServing);
  EXPECT_EQ(child().place.public_address.to_string(), "192.0.2.7");
  EXPECT_EQ(child().connections, 3);
  EXPECT_TRUE(family_.is_served_elsewhere(kNetwork, kNow));
  EXPECT_FALSE(family_.is_served_elsewhere(*Prefix::parse("203.0.113.0/24"), kNow));
  // A silent one serves nobody as far as we know; until it speaks again.
  EXPECT_FALSE(family_.is_served_elsewhere(kNetwork, kNow + kSilent));
  ASSERT_TRUE(family_.heard(report(kNow + kSilent), kNow + kSilent));
  EXPECT_TRUE(family_.is_served_elsewhere(kNetwork, kNow + kSilent));
}

TEST_F(FamilyTest, WhoDrainsOrHasEndedDoesNotComeBack) {
  using State = wire::KinReport::State;
  ASSERT_TRUE(family_.heard(report(kNow), kNow));
  ASSERT_TRUE(family_.heard(report(kNow + 1, State::kDraining), kNow));
  EXPECT_FALSE(family_.is_served_elsewhere(kNetwork, kNow));
  // A repetition, an older report, and one that would undo the end.
  EXPECT_EQ(family_.heard(report(kNow + 1), kNow).error().code, Code::kExpired);
  EXPECT_EQ(family_.heard(report(kNow), kNow).error().code, Code::kExpired);
  ASSERT_TRUE(family_.heard(report(kNow + 2), kNow));
  EXPECT_EQ(child().state, Child::State::kDraining);
  ASSERT_TRUE(family_.heard(report(kNow + 3, State::kEnded), kNow));
  ASSERT_TRUE(family_.heard(report(kNow + 4), kNow));
  EXPECT_EQ(child().state, Child::State::kEnded);
  EXPECT_EQ(family_.replicas(2, kNow).running, 0);
}

// Its host may have died with it, or its parent moved before it was known to run.
TEST_F(FamilyTest, WhoIsNotHeardOfLosesItsPlace) {
  const std::int64_t lost = kKinLostMax.count();
  EXPECT_EQ(family_.replicas(2, kNow + lost - 1).running, 1);
  EXPECT_EQ(family_.replicas(2, kNow + lost).running, 0) << "ordered, and never born";
  EXPECT_TRUE(family_.replicas(2, kNow + lost).host_ids.empty());
  // It is counted, and shown, as soon as it speaks.
  ASSERT_TRUE(family_.heard(report(kNow + lost), kNow + lost));
  EXPECT_EQ(family_.replicas(2, kNow + lost).running, 1);
  EXPECT_FALSE(family_.is_lost(child(), kNow + 2 * lost - 1));
  const auto shown = family_.status(kNow + 2 * lost);
  EXPECT_EQ(shown.at("children").at(0).at("state"), "lost");
  // Who has ended is not missed.
  ASSERT_TRUE(family_.heard(report(kNow + lost + 1, wire::KinReport::State::kEnded), kNow + lost));
  EXPECT_FALSE(family_.is_lost(child(), kNow + 9 * lost));
}

TEST_F(FamilyTest, StrangersAreNotHeard) {
  auto strangers = report(kNow);
  strangers.child.icon = KeyPair::generate().public_key();
  EXPECT_EQ(family_.heard(strangers, kNow).error().code, Code::kNotFound);
  wire::KinWord word;
  word.parent = place(parent_.public_key(), "192.0.2.3");
  word.issued_ms = kNow;
  EXPECT_EQ(family_.heard(word, kNow).error().code, Code::kRefused);
}

TEST_F(FamilyTest, AnOrphanLooksHigher) {
  family_.elders().above = {place(parent_.public_key(), "192.0.2.3"),
                            place(grandparent_.public_key(), "192.0.2.4")};
  wire::KinWord word;
  word.parent = place(parent_.public_key(), "192.0.2.5");
  word.above = {place(grandparent_.public_key(), "192.0.2.6"),
                place(KeyPair::generate().public_key(), "192.0.2.66")};
  word.leads = true;
  word.issued_ms = kNow;
  ASSERT_TRUE(family_.heard(word, kNow));
  EXPECT_EQ(family_.heard(word, kNow).error().code, Code::kExpired);
  EXPECT_EQ(family_.elders().serves_ms, kNow);
  // Who they are is not for them to say; where they are is.
  ASSERT_EQ(family_.elders().above.size(), 2u);
  EXPECT_EQ(family_.elders().above.at(0).public_address.to_string(), "192.0.2.5");
  EXPECT_EQ(family_.elders().above.at(1).public_address.to_string(), "192.0.2.6");

  EXPECT_TRUE(family_.look_higher(kNow + kSilent));
  EXPECT_EQ(family_.elders().above.front().icon, grandparent_.public_key());
  EXPECT_FALSE(family_.look_higher(kNow + 2 * kSilent));  // nobody is left
  word.parent = word.above.front();
  word.above.clear();
  word.issued_ms = kNow + 5;
  EXPECT_TRUE(family_.heard(word, kNow + 2 * kSilent));
}

// A crash between the order and its answer: the file knows the child and what its slot costs.
TEST_F(FamilyTest, TravelsAsJson) {
  ASSERT_TRUE(family_.heard(report(kNow), kNow));
  family_.elders().above = {place(parent_.public_key(), "192.0.2.3")};
  const auto again = Family::from_json(family_.to_json());
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->to_json(), family_.to_json());
  auto damaged = family_.to_json();
  damaged["children"].as_array().front().as_object()["state"] = "asleep";
  EXPECT_FALSE(Family::from_json(damaged));
  damaged = family_.to_json();
  damaged["version"] = 2;
  EXPECT_FALSE(Family::from_json(damaged));
}

TEST_F(FamilyTest, EndedOnesMakeRoom) {
  fill(kNow);
  EXPECT_EQ(family_.ordered(another(kNow), kNow).error().code, Code::kLimit);
  ASSERT_TRUE(family_.heard(report(kNow, wire::KinReport::State::kEnded), kNow));
  EXPECT_TRUE(family_.ordered(another(kNow), kNow));
  EXPECT_EQ(family_.children().size(), kChildrenMax);
}

// As many as there is room for, and all of them on hosts that are gone.
TEST_F(FamilyTest, WhoWasLostFirstMakesRoom) {
  const UtcMillis later = kNow + kKinLostMax.count();
  fill(kNow + 1);
  ASSERT_TRUE(family_.heard(report(kNow), later));
  EXPECT_EQ(family_.ordered(another(later), later).error().code, Code::kLimit) << "nobody is lost";
  const auto second = family_.children().at(1).place.icon;
  EXPECT_TRUE(family_.ordered(another(later), later + 1));
  EXPECT_EQ(family_.children().size(), kChildrenMax);
  EXPECT_EQ(family_.find(second), nullptr);
  EXPECT_NE(family_.find(child_.public_key()), nullptr) << "it was heard of";
}

}  // namespace
}  // namespace icon::agent
