#include "budget/ledger/sqlite_ledger_store.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <stdlib.h>

#include <filesystem>

#include "tests/unit/budget_ledger/store_rules.h"

namespace icon::budget::ledger {
namespace {

class SqliteLedgerStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    char directory[] = "/tmp/icledger.XXXXXX";
    directory_ = mkdtemp(directory);
    path_ = directory_ + "/ledger.db";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string directory_;
  std::string path_;
};

TEST_F(SqliteLedgerStoreTest, FollowsTheRules) {
  auto store = *SqliteLedgerStore::create(path_);
  follows_the_rules(store);
  auto again = *SqliteLedgerStore::open(path_);
  Report report;
  EXPECT_TRUE(verified_entries(again, report));
  EXPECT_EQ(report.entries, 10);
}

TEST_F(SqliteLedgerStoreTest, TheFileOnlyGrows) {
  auto store = *SqliteLedgerStore::create(path_);
  ASSERT_TRUE(store.append(1, "first"));
  SQLite::Database database(path_, SQLite::OPEN_READWRITE);
  EXPECT_THROW(database.exec("UPDATE ledger SET text = 'other'"), SQLite::Exception);
  EXPECT_THROW(database.exec("DELETE FROM ledger"), SQLite::Exception);
  EXPECT_EQ(store.last()->text, "first");
}

TEST_F(SqliteLedgerStoreTest, NeverAFreshLedgerInsteadOfALostOne) {
  EXPECT_EQ(SqliteLedgerStore::open(path_).error().code, Code::kNotFound);
  auto store = *SqliteLedgerStore::create(path_);
  EXPECT_EQ(SqliteLedgerStore::create(path_).error().code, Code::kConflict);
  std::filesystem::resize_file(path_, 100);
  EXPECT_EQ(SqliteLedgerStore::open(path_).error().code, Code::kInvalid);
  EXPECT_EQ(store.last().error().code, Code::kInvalid);
}

}  // namespace
}  // namespace icon::budget::ledger
