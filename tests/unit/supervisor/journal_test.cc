#include "supervisor/journal.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <fstream>

#include "tests/unit/base/http_rig.h"

namespace icon::supervisor {
namespace {

class JournalTest : public ::testing::Test {
 protected:
  void open() {
    journal_.reset();
    auto journal = Journal::open(path());
    ASSERT_TRUE(journal) << journal.error().message;
    journal_ = std::move(*journal);
  }
  void SetUp() override { open(); }
  std::string path() const { return directory_ / "journal.db"; }

  static IconRecord icon(const std::string& id) {
    IconRecord icon;
    icon.id = id;
    icon.name = "name-" + id;
    icon.spec.name = "redis";
    icon.spec.command = {"redis-server"};
    icon.epoch = 3;
    icon.state = icon_state::kRunning;
    icon.pid = 42;
    icon.pid_start_ticks = 99;
    icon.overlay = *Address::parse("100.64.1.2");
    icon.exit_status = 7;
    return icon;
  }

  test::TempDir directory_;
  std::unique_ptr<Journal> journal_;
};

TEST_F(JournalTest, IconsSurviveReopening) {
  ASSERT_TRUE(journal_->put_icon(icon("a")));
  ASSERT_TRUE(journal_->put_icon(icon("b")));
  ASSERT_TRUE(journal_->set_icon_state("b", icon_state::kMoved));
  open();
  const auto found = journal_->find_icon("a");
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->name, "name-a");
  EXPECT_EQ((*found)->spec.command, std::vector<std::string>{"redis-server"});
  EXPECT_EQ((*found)->pid_start_ticks, 99u);
  EXPECT_EQ((*found)->overlay.to_string(), "100.64.1.2");
  EXPECT_EQ((*found)->exit_status, 7);
  EXPECT_EQ((*journal_->find_icon("b"))->state, icon_state::kMoved);
  EXPECT_EQ(journal_->icons()->size(), 2u);
  ASSERT_TRUE(journal_->remove_icon("a"));
  EXPECT_FALSE(*journal_->find_icon("a"));
  EXPECT_EQ(journal_->set_icon_state("a", "running").error().code, Code::kNotFound);
}

TEST_F(JournalTest, EpochsOnlyGrow) {
  EXPECT_TRUE(journal_->check_epoch("a", 1));
  ASSERT_TRUE(journal_->note_committed_epoch("a", 5));
  ASSERT_TRUE(journal_->note_committed_epoch("a", 3));
  open();
  EXPECT_EQ(*journal_->committed_epoch("a"), 5);
  EXPECT_EQ(journal_->check_epoch("a", 5).error().code, Code::kConflict);
  EXPECT_EQ(journal_->check_epoch("a", 4).error().code, Code::kConflict);
  EXPECT_TRUE(journal_->check_epoch("a", 6));
  // The ICON's row may go, its epoch stays.
  ASSERT_TRUE(journal_->put_icon(icon("a")));
  ASSERT_TRUE(journal_->remove_icon("a"));
  EXPECT_EQ(*journal_->committed_epoch("a"), 5);
}

TEST_F(JournalTest, TransactionsAreAllOrNothing) {
  const auto failed = journal_->transaction([&]() -> Status {
    ICON_CHECK(journal_->put_icon(icon("a")));
    ICON_CHECK(journal_->note_committed_epoch("a", 9));
    return fail(Code::kConflict, "no");
  });
  EXPECT_EQ(failed.error().code, Code::kConflict);
  EXPECT_FALSE(*journal_->find_icon("a"));
  EXPECT_EQ(*journal_->committed_epoch("a"), 0);
  ASSERT_TRUE(journal_->transaction([&]() -> Status {
    ICON_CHECK(journal_->put_icon(icon("a")));
    return journal_->transaction([&] { return journal_->note_committed_epoch("a", 9); });
  }));
  open();
  EXPECT_TRUE(*journal_->find_icon("a"));
  EXPECT_EQ(*journal_->committed_epoch("a"), 9);
}

TEST_F(JournalTest, Migrations) {
  MigrationRecord move;
  move.id = "m1";
  move.icon = "a";
  move.role = "source";
  move.state = "transferring";
  move.started_ms = 100;
  move.phases = {json::Object{{"name", "reserve"}, {"took_us", 5}}};
  move.evidence = {{"rtt", 1.5}};
  ASSERT_TRUE(journal_->put_migration(move));
  move.id = "m2";
  move.started_ms = 200;
  move.ended_ms = 300;
  ASSERT_TRUE(journal_->put_migration(move));
  open();
  EXPECT_EQ(journal_->migrations()->front().id, "m2");
  ASSERT_EQ(journal_->unfinished_migrations()->size(), 1u);
  EXPECT_EQ(journal_->unfinished_migrations()->front().phases.size(), 1u);
  EXPECT_EQ((*journal_->find_migration("m1"))->evidence.at("rtt"), 1.5);
}

TEST_F(JournalTest, StubsTunnelsAndValues) {
  StubRecord stub;
  stub.icon = "a";
  stub.next_api = *Endpoint::parse("192.0.2.1:7946");
  stub.next_public = *Address::parse("192.0.2.1");
  stub.mode = "redirect";
  ASSERT_TRUE(journal_->put_stub(stub));
  ASSERT_TRUE(journal_->put_tunnel("peer", {{"key", "x"}}));
  ASSERT_TRUE(journal_->put_value("k", "v"));
  open();
  EXPECT_EQ((*journal_->find_stub("a"))->next_api.to_string(), "192.0.2.1:7946");
  EXPECT_EQ(journal_->stubs()->size(), 1u);
  EXPECT_EQ((*journal_->find_tunnel("peer"))->at("key"), "x");
  EXPECT_EQ(journal_->tunnels()->size(), 1u);
  EXPECT_EQ(**journal_->value("k"), "v");
  ASSERT_TRUE(journal_->remove_stub("a"));
  ASSERT_TRUE(journal_->remove_tunnel("peer"));
  ASSERT_TRUE(journal_->remove_value("k"));
  EXPECT_FALSE(*journal_->find_stub("a"));
  EXPECT_FALSE(*journal_->find_tunnel("peer"));
  EXPECT_FALSE(*journal_->value("k"));
}

TEST_F(JournalTest, NoncesAreUsedOnce) {
  EXPECT_TRUE(journal_->use_nonce("offer", "n", 1000));
  EXPECT_TRUE(journal_->use_nonce("bid", "n", 1000));
  open();
  EXPECT_EQ(journal_->use_nonce("offer", "n", 1000).error().code, Code::kConflict);
  ASSERT_TRUE(journal_->forget_expired_nonces(1001));
  EXPECT_TRUE(journal_->use_nonce("offer", "n", 2000));
}

TEST_F(JournalTest, OldDecisionsGo) {
  ASSERT_TRUE(journal_->transaction([&]() -> Status {
    for (std::size_t i = 0; i < Journal::kDecisionsPerIconMax + 5; ++i) {
      DecisionRecord decision;
      decision.id = "d" + std::to_string(i);
      decision.icon = "a";
      decision.time_ms = static_cast<UtcMillis>(i);
      ICON_CHECK(journal_->put_decision(decision));
    }
    return {};
  }));
  const auto all = journal_->decisions("a", 10'000);
  ASSERT_EQ(all->size(), Journal::kDecisionsPerIconMax);
  EXPECT_EQ(all->front().time_ms, static_cast<UtcMillis>(Journal::kDecisionsPerIconMax + 4));
  EXPECT_EQ(journal_->decisions("b", 10)->size(), 0u);
  EXPECT_EQ(journal_->decisions("", 10)->size(), 10u);
}

// A month and a day later, with what is kept for a month.
TEST_F(JournalTest, ThePastIsForgottenAfterItsTime) {
  constexpr UtcMillis kDay = 24LL * 3600 * 1000;
  constexpr UtcMillis kNow = 31 * kDay;
  const auto move = [&](const std::string& id, UtcMillis started_ms, UtcMillis ended_ms) {
    MigrationRecord record;
    record.id = id;
    record.icon = "gone";
    record.started_ms = started_ms;
    record.ended_ms = ended_ms;
    EXPECT_TRUE(journal_->put_migration(record));
  };
  const auto decision = [&](const std::string& id, const std::string& icon, UtcMillis time_ms) {
    EXPECT_TRUE(journal_->put_decision({id, icon, time_ms, "move", {}}));
  };
  move("old", 1, 2);
  move("old too", 2, 3);
  move("never ended", 3, 0);
  move("long", 4, 2 * kDay);
  decision("old", "gone", 1);
  decision("new", "gone", 2 * kDay);
  decision("of one that is here", "here", 1);
  ASSERT_TRUE(journal_->put_icon(icon("here")));

  const auto first = journal_->forget_past(kNow - 30 * kDay, 1);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->migrations, 1u) << "not more than that at once";
  EXPECT_EQ(first->decisions, 1u);
  EXPECT_FALSE(*journal_->find_migration("old")) << "the oldest first";
  const auto rest = journal_->forget_past(kNow - 30 * kDay, 10);
  ASSERT_TRUE(rest) << rest.error().message;
  EXPECT_EQ(rest->migrations, 1u);
  EXPECT_EQ(rest->decisions, 0u);
  EXPECT_TRUE(*journal_->find_migration("never ended"));
  EXPECT_TRUE(*journal_->find_migration("long"));
  EXPECT_EQ(journal_->decisions("gone", 10)->size(), 1u);
  EXPECT_EQ(journal_->decisions("here", 10)->size(), 1u);
  ASSERT_TRUE(journal_->remove_icon("here"));
  EXPECT_EQ(journal_->forget_past(kNow - 30 * kDay, 10)->decisions, 1u);
}

TEST_F(JournalTest, WithALeaseGoesWhatNamesIt) {
  const auto lease = [&](const std::string& id, const std::string& state, UtcMillis end_ms) {
    LeaseRecord record;
    record.lease_id = id;
    record.state = state;
    record.expires_ms = end_ms;
    EXPECT_TRUE(journal_->put_lease(record));
    EXPECT_TRUE(journal_->put_value("bid/of " + id, id));
    EXPECT_TRUE(journal_->put_value("reservation/of " + id, id));
  };
  lease("open", "active", 10);
  lease("new", "released", 200);
  ASSERT_TRUE(journal_->forget_closed_leases(100));
  EXPECT_EQ(journal_->leases()->size(), 2u);
  lease("lapsed", "lapsed", 1'000);
  lease("old", "expired", 99);
  ASSERT_TRUE(journal_->put_value("other/of old", "old"));
  ASSERT_TRUE(journal_->forget_closed_leases(100));
  EXPECT_EQ(journal_->leases()->size(), 2u);
  using Rows = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(*journal_->values("bid/"), (Rows{{"bid/of new", "new"}, {"bid/of open", "open"}}));
  EXPECT_EQ(journal_->values("reservation/")->size(), 2u);
  EXPECT_EQ(journal_->values("other/")->size(), 1u);
}

TEST_F(JournalTest, ASecondSupervisorIsAConflict) {
  const auto second = Journal::open(path());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kConflict) << second.error().message;
}

TEST_F(JournalTest, ANewerSchemaIsRefused) {
  journal_.reset();
  sqlite3* raw = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &raw), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(raw, "PRAGMA user_version = 99", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(raw);
  const auto opened = Journal::open(path());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Code::kUnavailable);
  EXPECT_NE(opened.error().message.find("newer"), std::string::npos);
}

TEST_F(JournalTest, DamagedFilesAreRefused) {
  const std::string other = directory_ / "other.db";
  std::ofstream(other) << std::string(8192, 'x');
  const auto opened = Journal::open(other);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Code::kInvalid);
  EXPECT_NE(opened.error().message.find("damaged"), std::string::npos);
  EXPECT_FALSE(Journal::open("/nowhere/journal.db"));
}

}  // namespace
}  // namespace icon::supervisor
