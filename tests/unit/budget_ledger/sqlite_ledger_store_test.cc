#include "budget/ledger/sqlite_ledger_store.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <stdlib.h>

#include <filesystem>

#include "budget/ledger/diary.h"
#include "budget/ledger/prov.h"
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

// A diary of few entries a file, and what is proved of its files.
class DiaryTest : public SqliteLedgerStoreTest {
 protected:
  Result<Diary> open() { return Diary::open({directory_, "life", 1 << 20, 4}, life_.icon); }
  Report proved(std::string_view file, bool provenance = true) {
    Report report;
    auto store = SqliteLedgerStore::open(directory_ + '/' + std::string(file));
    EXPECT_TRUE(store) << file;
    if (!store) return report;
    const auto entries = verified_entries(*store, report);
    EXPECT_TRUE(entries) << entries.error().message;
    if (entries && provenance) {
      const auto valid = check_prov(to_prov(*entries));
      EXPECT_TRUE(valid) << valid.error().message;
    }
    return report;
  }
  static UtcMillis time_of(std::size_t document) {
    return SampleLife::kStart + static_cast<UtcMillis>(document) * 60'000 + 5'000;
  }
  SampleLife life_;
};

TEST_F(DiaryTest, EachFileVerifiesAloneAndNamesTheOneBefore) {
  auto diary = *open();
  for (std::size_t i = 0; i < life_.documents.size(); ++i)
    ASSERT_TRUE(diary.record(life_.documents[i], time_of(i)));
  const auto now = proved(kDiaryFile);
  const auto before = proved(kDiaryFileBefore);
  EXPECT_EQ(before.entries, 4);
  EXPECT_EQ(now.name, before.name);
  auto store = *SqliteLedgerStore::open(path_);
  const auto first = wire::parse_envelope((*store.read(1))[0]);
  const auto entry = *wire::open<wire::LedgerEntry>(*first);
  const auto event = *wire::open<wire::LifeEvent>(entry.document);
  EXPECT_EQ(event.activity, wire::LifeEvent::Activity::kContinue);
  ASSERT_EQ(event.used.size(), 1U);
  EXPECT_EQ(event.used[0], "document-" + before.head);
}

TEST_F(DiaryTest, GoesOnWhereItEnded) {
  for (std::size_t i = 0; i < life_.documents.size(); ++i) {
    auto diary = open();
    ASSERT_TRUE(diary) << diary.error().message;
    ASSERT_TRUE(diary->record(life_.documents[i], time_of(i)));
  }
  EXPECT_EQ(open()->living().count(state_entity(life_.icon.public_key(), 2)), 0U);
  EXPECT_GT(proved(kDiaryFile).entries, 1);
}

TEST_F(DiaryTest, ACrashBetweenTwoFilesLosesNeither) {
  {
    auto diary = *open();
    for (std::size_t i = 0; i < 5; ++i) ASSERT_TRUE(diary.record(life_.documents[i], time_of(i)));
  }
  // As if the process had ended before the second rename, then before the first.
  std::filesystem::rename(path_, directory_ + "/ledger.next.db");
  const auto head = [&] { return proved(kDiaryFile).head; };
  ASSERT_TRUE(open());
  const auto after = head();
  std::filesystem::copy_file(directory_ + "/ledger.1.db", directory_ + "/ledger.next.db");
  ASSERT_TRUE(open()->record(life_.documents[5], time_of(5)));
  EXPECT_NE(head(), after);
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/ledger.next.db"));
}

TEST_F(DiaryTest, TimeDoesNotRunBackwards) {
  auto diary = *open();
  ASSERT_TRUE(diary.record(life_.documents[0], SampleLife::kStart));
  ASSERT_TRUE(diary.record(life_.documents[1], SampleLife::kStart - 5'000));
  EXPECT_EQ(proved(kDiaryFile).last_ms, SampleLife::kStart);
  EXPECT_EQ(diary.not_before(1), SampleLife::kStart);
}

}  // namespace
}  // namespace icon::budget::ledger
