#include "supervisor/continuity/swarm_choice.h"

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <set>

#include "supervisor/continuity/swarm_distances.h"

namespace icon::supervisor {
namespace {

constexpr std::int64_t kMs = 1'000;

class SwarmChoiceTest : public ::testing::Test {
 protected:
  SwarmChoiceTest() {
    for (auto& report : reports_) {
      report.host = KeyPair::generate().public_key();
      report.free = {1'000, 1 << 30, 1 << 20};
      report.rtt_us[user_] = 40 * kMs;
    }
    reports_[0].icons.push_back(
        {KeyPair::generate().id(), 3, {500, 1 << 20, 1'000}, false, {{user_, 8}}});
  }
  SwarmIcon& icon() { return reports_[0].icons[0]; }
  // As the orchestrator's loop: what is decided stands from then on.
  std::vector<SwarmDecision> step(Millis later = Millis(500)) {
    now_ += later;
    auto decided = chooser_.step(reports_, standing_, now_);
    for (const auto& decision : decided) stands(decision);
    return decided;
  }

  void stands(const SwarmDecision& decision) {
    standing_[decision.icon] = decision;
    chooser_.written(decision, now_);
  }

  const Address user_ = *Address::parse("192.0.2.7");
  std::vector<HostReport> reports_ = std::vector<HostReport>(3);
  SwarmChooser chooser_;
  std::map<std::string, SwarmDecision> standing_;
  SteadyTime now_{Millis(1'000'000)};
};

TEST_F(SwarmChoiceTest, PreparesAtTheNextBestAndMovesOnceItPays) {
  reports_[2].rtt_us[user_] = 38 * kMs;
  auto decided = step();
  ASSERT_EQ(decided.size(), 1u);
  EXPECT_EQ(decided[0].to, reports_[2].host);
  EXPECT_FALSE(decided[0].move);
  EXPECT_TRUE(step().empty());

  reports_[1].rtt_us[user_] = 4 * kMs;
  decided = step(Millis(3'000));
  ASSERT_EQ(decided.size(), 1u);
  EXPECT_EQ(decided[0].to, reports_[1].host);
  EXPECT_FALSE(decided[0].move);  // one round is none
  decided = step();
  ASSERT_EQ(decided.size(), 1u);
  EXPECT_TRUE(decided[0].move);
  EXPECT_EQ(decided[0].epoch, 3);
  EXPECT_EQ(decided[0].sequence, 3);
  EXPECT_TRUE(step().empty());
  EXPECT_TRUE(step(Millis(5'000)).empty());
  // Not followed for long: once more, as a new decision.
  decided = step(Millis(6'000));
  ASSERT_EQ(decided.size(), 1u);
  EXPECT_TRUE(decided[0].move);
  EXPECT_EQ(decided[0].sequence, 4);
}

// etcd is slow: of all that is decided one is written at a time.
TEST_F(SwarmChoiceTest, WhatWasNotWrittenComesAgainAndEachHasItsTurn) {
  for (int i = 0; i < 4; ++i) {
    auto other = icon();
    other.id = KeyPair::generate().id();
    reports_[0].icons.push_back(other);
  }
  std::set<std::string> written;
  for (std::size_t left = 5; left > 0; --left) {
    const auto decided = chooser_.step(reports_, standing_, now_ += Millis(500));
    ASSERT_EQ(decided.size(), left);
    EXPECT_EQ(decided[0].sequence, 1);
    stands(decided[0]);
    written.insert(decided[0].icon);
  }
  EXPECT_EQ(written.size(), 5u);

  // All are to move, and none of them is written twice before all others.
  reports_[1].rtt_us[user_] = 4 * kMs;
  written.clear();
  chooser_.step(reports_, standing_, now_ += Millis(500));
  for (int i = 0; i < 5; ++i) {
    const auto decided = chooser_.step(reports_, standing_, now_ += Millis(500));
    ASSERT_FALSE(decided.empty());
    EXPECT_TRUE(decided[0].move);
    EXPECT_TRUE(written.insert(decided[0].icon).second);
    // As if it were out of date at once: the first alone could have all the time there is.
    stands(decided[0]);
    standing_[decided[0].icon].epoch = 2;
  }
  EXPECT_EQ(written.size(), 5u);
}

TEST_F(SwarmChoiceTest, NoRoomNoMoveAndTheOwnersBrake) {
  reports_[1].rtt_us[user_] = 4 * kMs;
  reports_[1].free.cpu_millis = 499;
  for (int i = 0; i < 5; ++i)
    for (const auto& decision : step()) {
      EXPECT_EQ(decision.to, reports_[2].host);
      EXPECT_FALSE(decision.move);
    }
  reports_[1].free.cpu_millis = 500;
  icon().held = true;
  for (int i = 0; i < 5; ++i)
    for (const auto& decision : step()) EXPECT_FALSE(decision.move);
}

TEST_F(SwarmChoiceTest, OscillatingUsersMoveNobody) {
  for (int i = 0; i < 40; ++i) {
    reports_[1].rtt_us[user_] = (i % 2 == 0 ? 4 : 39) * kMs;
    for (const auto& decision : step()) EXPECT_FALSE(decision.move);
  }
  reports_[1].rtt_us[user_] = 39 * kMs;  // not worth it
  for (int i = 0; i < 5; ++i)
    for (const auto& decision : step()) EXPECT_FALSE(decision.move);
}

TEST_F(SwarmChoiceTest, AStandbyIsMadeOnce) {
  reports_[2].rtt_us[user_] = 39 * kMs;
  ASSERT_EQ(step().at(0).to, reports_[2].host);
  // Its room is not free any more: it is there for this ICON.
  reports_[2].free.cpu_millis = 499;
  reports_[2].kept.insert(icon().id);
  for (int i = 0; i < 20; ++i) {
    reports_[1].rtt_us[user_] = (i % 2 == 0 ? 38 : 41) * kMs;
    EXPECT_TRUE(step(Millis(2'000)).empty());
  }
  reports_[1].rtt_us[user_] = 30 * kMs;
  EXPECT_EQ(step(Millis(2'000)).at(0).to, reports_[1].host);
}

TEST_F(SwarmChoiceTest, WhatHasJustComeStaysAWhile) {
  reports_[1].rtt_us[user_] = 4 * kMs;
  step();
  ASSERT_TRUE(step().at(0).move);
  reports_[1].icons = std::exchange(reports_[0].icons, {});
  ++reports_[1].icons[0].epoch;
  // As if those whom it has left were back.
  reports_[1].rtt_us[user_] = 40 * kMs;
  reports_[0].rtt_us[user_] = 4 * kMs;
  for (int i = 0; i < 6; ++i)
    for (const auto& decision : step()) EXPECT_FALSE(decision.move);
  step();
  EXPECT_TRUE(step().at(0).move);
}

TEST_F(SwarmChoiceTest, LearnsTheWaysThatUsersTake) {
  // 0 to 2, back and again; from where it is, all others are as far.
  for (int i = 0; i < 4; ++i) {
    const std::size_t here = i % 2 == 0 ? 0 : 2;
    const std::size_t there = 2 - here;
    ++reports_[here].icons[0].epoch;
    step();
    reports_[there].icons = std::exchange(reports_[here].icons, {});
  }
  ++icon().epoch;
  reports_[1].free.cpu_millis = 4'000;  // which would speak for 1
  const auto decided = step();
  ASSERT_EQ(decided.size(), 1u);
  EXPECT_EQ(decided[0].to, reports_[2].host);
}

TEST_F(SwarmChoiceTest, AUserWhoAnswersNobodyHoldsNobodyUp) {
  icon().users.push_back({*Address::parse("192.0.2.8"), 7});
  reports_[1].rtt_us[user_] = 4 * kMs;
  step();
  EXPECT_TRUE(step().at(0).move);
}

TEST_F(SwarmChoiceTest, WhereMostUsersAnswerNobodyItIsPreparedForAndStays) {
  icon().users.push_back({*Address::parse("192.0.2.8"), 9});
  reports_[1].rtt_us[user_] = 4 * kMs;
  EXPECT_TRUE(step().empty());  // in a moment it may be known
  const auto decided = step(Millis(3'000));
  ASSERT_EQ(decided.size(), 1u);
  EXPECT_FALSE(decided[0].move);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(step().empty());
}

TEST_F(SwarmChoiceTest, WhoDoesNotGoToTheNearestIsSentToTheNextThatHelps) {
  reports_[1].rtt_us[user_] = 4 * kMs;
  reports_[2].rtt_us[user_] = 8 * kMs;
  step();
  ASSERT_EQ(step().at(0).to, reports_[1].host);
  EXPECT_EQ(step(Millis(10'000)).at(0).to, reports_[2].host) << "its policy does not let it";
  const auto order = step().at(0);
  EXPECT_EQ(order.to, reports_[2].host);
  EXPECT_TRUE(order.move);
}

TEST_F(SwarmChoiceTest, ANewOrchestratorPreparesWhereItIsPrepared) {
  reports_[2].kept.insert(icon().id);
  reports_[1].rtt_us[user_] = 39 * kMs;
  reports_[1].free.cpu_millis = 4'000;
  EXPECT_EQ(step().at(0).to, reports_[2].host);
}

TEST_F(SwarmChoiceTest, WhatWasPreparedOutlivesTheOrchestrator) {
  step();
  const auto& decision = standing_.at(icon().id);
  SwarmPlaces places;
  places.decided(standing_);
  places.decided({});  // its decisions have gone with it
  const std::map<std::string, std::int64_t> here{{icon().id, decision.epoch}};
  ASSERT_EQ(places.of(here).size(), 1u);
  EXPECT_EQ(places.of(here).at(icon().id).to, decision.to);
  EXPECT_TRUE(places.of({{icon().id, decision.epoch + 1}}).empty());
  EXPECT_TRUE(places.of(here).empty());
}

TEST_F(SwarmChoiceTest, AReportThatIsTooLargeLosesUsersFirst) {
  auto big = icon();
  big.users.assign(kSwarmUsersMax, big.users[0]);
  reports_[0].icons.assign(64, big);
  const auto whole = boost::json::serialize(reports_[0].to_json()).size();
  const auto cut = HostReport::text_of(reports_[0], whole / 2);
  EXPECT_LE(cut.size(), whole / 2);
  const auto read = HostReport::from_json(*json::parse_object(cut, whole));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->icons.size(), 64u);
  EXPECT_FALSE(read->icons[0].users.empty());
  const auto little = HostReport::text_of(reports_[0], 2'000);
  EXPECT_LE(little.size(), 2'000u);
  EXPECT_FALSE(HostReport::from_json(*json::parse_object(little, whole))->icons.empty());
}

// Forty users, of whom the first thirty-two answer no pings.
TEST(SwarmDistancesTest, WhoDoesNotAnswerTakesNobodysTurn) {
  const auto user = [](int i) { return *Address::parse("192.0.2." + std::to_string(i + 1)); };
  std::vector<HostReport> reports(1);
  for (int i = 0; i < 40; ++i)
    reports[0].icons.push_back({std::to_string(i), 1, {}, false, {{user(i), 1}}});
  SwarmDistances distances;
  SteadyTime now{Millis(1'000'000)};
  std::map<Address, int> asked;
  for (int turn = 0; turn < 10; ++turn, now += Millis(500))
    for (const auto& target : distances.targets(reports, now)) {
      ++asked[target];
      for (int i = 32; i < 40; ++i)
        if (target == user(i)) distances.answered(target, 5'000);
    }
  EXPECT_EQ(distances.known().size(), 8u);
  EXPECT_GT(asked[user(0)], 1) << "it may have been the load";
  EXPECT_EQ(asked[user(39)], 1) << "known for a while";
  reports[0].icons.resize(33);
  distances.targets(reports, now);
  EXPECT_EQ(distances.known().size(), 1u) << "who is gone is forgotten";
}

TEST(SwarmDistancesTest, OfTooManyEachIconsHeaviestCount) {
  std::vector<HostReport> reports(1);
  for (int i = 0; i < 64; ++i) {
    SwarmIcon icon{std::to_string(i), 1, {}, false, {}};
    for (int j = 0; j < 8; ++j)
      icon.users.push_back(
          {*Address::parse("10.0." + std::to_string(i) + "." + std::to_string(j + 1)), 8 - j});
    reports[0].icons.push_back(std::move(icon));
  }
  SwarmDistances distances;
  SteadyTime now{Millis(1'000'000)};
  for (int turn = 0; turn < 20; ++turn, now += Millis(500))
    for (const auto& target : distances.targets(reports, now)) distances.answered(target, 5'000);
  const auto known = distances.known();
  EXPECT_EQ(known.size(), kSwarmTargetsMax);
  for (const auto& icon : reports[0].icons) EXPECT_TRUE(known.contains(icon.users[0].address));
}

TEST_F(SwarmChoiceTest, WhatIsReadIsLimited) {
  const auto good = reports_[0].to_json();
  ASSERT_TRUE(HostReport::from_json(good));
  EXPECT_EQ(HostReport::from_json(good)->to_json(), good);
  auto many = good;
  auto& users = many["icons"].as_array()[0].as_object()["users"].as_array();
  while (users.size() <= kSwarmUsersMax) users.push_back(users[0]);
  EXPECT_FALSE(HostReport::from_json(many));
  auto strange = good;
  strange["icons"].as_array()[0].as_object()["users"].as_array()[0].as_object()["weight"] = -1;
  EXPECT_FALSE(HostReport::from_json(strange));
  reports_[0].kept.insert(std::string(65, 'a'));
  EXPECT_FALSE(HostReport::from_json(reports_[0].to_json()));
  reports_[0].kept.clear();
  for (const char* key : {"host", "free", "kept", "icons", "distances"}) {
    auto body = good;
    body[key] = 1;
    EXPECT_FALSE(HostReport::from_json(body)) << key;
  }
  const auto decision = step().at(0).to_json();
  ASSERT_TRUE(SwarmDecision::from_json(decision));
  EXPECT_EQ(SwarmDecision::from_json(decision)->to_json(), decision);
  for (const auto& entry : decision) {
    auto body = decision;
    body[entry.key()] = nullptr;
    EXPECT_FALSE(SwarmDecision::from_json(body)) << entry.key();
  }
}

}  // namespace
}  // namespace icon::supervisor
