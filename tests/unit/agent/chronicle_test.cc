#include "agent/chronicle.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "budget/ledger/prov.h"

namespace icon::agent {
namespace {

namespace life = budget::ledger;

class ChronicleTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char directory[] = "/tmp/icon-agt-chronicle.XXXXXX";
    directory_ = mkdtemp(directory);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  Chronicle open() { return *Chronicle::open(directory_, icon_, clock_); }
  Whereabouts at(const KeyPair& host, std::int64_t epoch) {
    const life::Occasion now{"h", host.public_key(), clock_.utc_ms(), clock_.utc_ms()};
    return {host.public_key(), epoch, std::nullopt,
            *wire::seal(host, life::host_joins(now, host.public_key()))};
  }
  // Proved, with a valid provenance: the activities by name, in order.
  std::string activities() {
    auto store = life::SqliteLedgerStore::open(directory_ + "/ledger.db");
    life::Report report;
    const auto entries = life::verified_entries(*store, report);
    EXPECT_TRUE(entries) << entries.error().message;
    const auto valid = life::check_prov(life::to_prov(*entries));
    EXPECT_TRUE(valid) << valid.error().message;
    std::string names;
    for (const auto& entry : *entries) {
      const auto event = wire::LifeEvent::from_json(entry.document.body);
      names += (names.empty() ? "" : " ") +
               (event ? std::string(to_string(event->activity)) : entry.document.type);
    }
    return names;
  }

  std::string directory_;
  FakeClock clock_;
  KeyPair icon_ = KeyPair::generate();
  KeyPair here_ = KeyPair::generate();
  KeyPair there_ = KeyPair::generate();
};

TEST_F(ChronicleTest, ALife) {
  auto chronicle = open();
  ASSERT_TRUE(chronicle.arrived(at(here_, 1)));
  ASSERT_TRUE(chronicle.arrived(at(here_, 1)));
  ASSERT_TRUE(chronicle.checkpointed("m1"));
  clock_.advance(Millis(10));
  ASSERT_TRUE(chronicle.arrived(at(there_, 2)));
  ASSERT_TRUE(chronicle.ended());
  EXPECT_EQ(activities(), "host_join icon_join checkpoint host_join move end");
}

TEST_F(ChronicleTest, AMoveThatComesBackUsesUpItsEpochOrNot) {
  auto chronicle = open();
  ASSERT_TRUE(chronicle.arrived(at(here_, 1)));
  ASSERT_TRUE(chronicle.checkpointed("m1"));
  ASSERT_TRUE(chronicle.arrived(at(here_, 1)));  // rolled back before the commit
  ASSERT_TRUE(chronicle.checkpointed("m2"));
  ASSERT_TRUE(chronicle.arrived(at(here_, 2)));  // and after it
  ASSERT_TRUE(chronicle.checkpointed("m3"));
  ASSERT_TRUE(chronicle.arrived(at(there_, 4)));
  EXPECT_EQ(activities(),
            "host_join icon_join checkpoint checkpoint move checkpoint host_join move");
}

TEST_F(ChronicleTest, AnotherProcessAndAnEarlierClockGoOn) {
  {
    auto chronicle = open();
    ASSERT_TRUE(chronicle.arrived(at(here_, 1)));
    ASSERT_TRUE(chronicle.checkpointed("m1"));
  }
  const auto join = at(there_, 2);
  const struct EarlierClock final : Clock {
    UtcMillis utc_ms() const override { return 1'000; }
    SteadyTime steady() const override { return {}; }
  } earlier;
  auto chronicle = *Chronicle::open(directory_, icon_, earlier);
  ASSERT_TRUE(chronicle.arrived(join));
  ASSERT_TRUE(chronicle.ended());
  EXPECT_EQ(activities(), "host_join icon_join checkpoint host_join move end");
}

TEST_F(ChronicleTest, AReplicaIsInBothLedgersAndOneOfThemGoesOn) {
  const auto child = KeyPair::generate();
  wire::Birth birth;
  birth.parent = icon_.public_key();
  birth.child = child.public_key();
  birth.migration_id = "m1";
  birth.parent_epoch = 1;
  birth.issued_ms = birth.expires_ms = clock_.utc_ms();
  const Replica replica{birth.child, birth.mode, *wire::seal(icon_, birth), std::nullopt};
  wire::MoveOrder order;
  order.icon = child.public_key();
  order.migration_id = "m1";
  order.epoch = 1;
  order.from = here_.public_key();
  order.to = there_.public_key();
  order.lease_id = "lease-1";
  order.redirect = "forward";
  order.reason = "replica";
  order.issued_ms = order.expires_ms = clock_.utc_ms();
  auto chronicle = open();
  ASSERT_TRUE(chronicle.arrived(at(here_, 1)));
  EXPECT_FALSE(chronicle.record(*wire::seal(icon_, order)));  // not its to sign
  EXPECT_FALSE(chronicle.record(*wire::seal(child, birth)));
  ASSERT_TRUE(chronicle.record(replica.birth));
  ASSERT_TRUE(chronicle.record(*wire::seal(child, order)));
  ASSERT_TRUE(chronicle.checkpointed("m1"));
  clock_.advance(Millis(10));
  ASSERT_TRUE(chronicle.replicated(replica, "m1", there_.public_key()));
  // A fresh one, whose name is no file's: made of no checkpoint.
  auto fresh = replica;
  fresh.mode = wire::Birth::Mode::kFresh;
  fresh.child = KeyPair::generate().public_key();
  ASSERT_TRUE(chronicle.replicated(fresh, "m2", there_.public_key()));
  ASSERT_TRUE(chronicle.checkpointed("m3"));
  ASSERT_TRUE(chronicle.arrived(at(there_, 2)));
  ASSERT_TRUE(chronicle.ended());
  EXPECT_EQ(
      activities(),
      "host_join icon_join birth order checkpoint replica replica checkpoint host_join move end");

  std::filesystem::remove(directory_ + "/ledger.db");  // a replica finds none
  auto own = *Chronicle::open(directory_, child, clock_);
  auto where = at(there_, 1);
  where.birth = replica.birth;
  ASSERT_TRUE(own.arrived(where));
  ASSERT_TRUE(own.arrived(where));
  ASSERT_TRUE(own.ended());
  EXPECT_EQ(activities(), "host_join birth icon_join end");
}

// Its children's states are not its own: they fill no next file's beginning.
TEST_F(ChronicleTest, ManyReplicasLeaveAParentItsOwnState) {
  auto chronicle = open();
  ASSERT_TRUE(chronicle.arrived(at(here_, 1)));
  wire::Birth birth;
  birth.parent = icon_.public_key();
  birth.migration_id = "m1";
  birth.mode = wire::Birth::Mode::kFresh;
  birth.parent_epoch = 1;
  auto diary = *life::Diary::open({directory_, "icon-" + icon_.id(), 1 << 20, 10}, icon_);
  for (std::size_t i = 0; i <= wire::kLifeEntitiesMax; ++i) {
    birth.child = KeyPair::generate().public_key();
    const life::Occasion now{"r" + std::to_string(i), icon_.public_key(), clock_.utc_ms(),
                             clock_.utc_ms()};
    ASSERT_TRUE(diary.record(life::replicated(now, birth.child, "", here_.public_key(), ""),
                             clock_.utc_ms()));
  }
  EXPECT_TRUE(diary.living().contains(life::state_entity(icon_.public_key(), 1)));
  EXPECT_EQ(diary.living().size(), 1U);
  EXPECT_TRUE(activities().starts_with("continue replica"));
}

TEST_F(ChronicleTest, AHostCannotWriteOurHistory) {
  auto chronicle = open();
  auto where = at(here_, 1);
  const life::Occasion now{"x", here_.public_key(), clock_.utc_ms(), clock_.utc_ms()};
  auto forged = life::host_joins(now, here_.public_key());
  forged.made.push_back({life::state_entity(icon_.public_key(), 1), {}});
  where.host_join = *wire::seal(here_, forged);
  ASSERT_TRUE(chronicle.arrived(where));
  EXPECT_EQ(activities(), "icon_join");
  // The name of a migration is the host's choice too.
  ASSERT_TRUE(chronicle.checkpointed("m1"));
  ASSERT_TRUE(chronicle.checkpointed("m1"));
  ASSERT_TRUE(chronicle.checkpointed("m2"));
  ASSERT_TRUE(chronicle.checkpointed("m1"));
  EXPECT_FALSE(chronicle.checkpointed("../m"));
  ASSERT_TRUE(chronicle.arrived(at(there_, 2)));
  EXPECT_EQ(activities(), "icon_join checkpoint checkpoint checkpoint host_join move");
}

}  // namespace
}  // namespace icon::agent
