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
