#include "budget/ledger/sqlite_ledger_store.h"

#include "budget/sqlite_file.h"

namespace icon::budget::ledger {
namespace {

constexpr int kApplicationId = 0x4943474c;  // "ICGL"
constexpr int kSchemaVersion = 1;
constexpr const char* kSchema =
    "CREATE TABLE ledger (sequence INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;"
    "CREATE TRIGGER no_change BEFORE UPDATE ON ledger"
    " BEGIN SELECT RAISE(ABORT, 'a ledger only grows'); END;"
    "CREATE TRIGGER no_removal BEFORE DELETE ON ledger"
    " BEGIN SELECT RAISE(ABORT, 'a ledger only grows'); END";

SqliteFile file_at(const std::string& path) {
  return {{"ledger", kApplicationId, kSchemaVersion, kSchema}, path};
}

LedgerStore::Last last_of(SQLite::Database& database) {
  SQLite::Statement query(database,
                          "SELECT sequence, text FROM ledger ORDER BY sequence DESC LIMIT 1");
  if (!query.executeStep()) return {};
  return {query.getColumn(0).getInt64(), query.getColumn(1).getString()};
}

}  // namespace

Result<SqliteLedgerStore> SqliteLedgerStore::create(const std::string& path) {
  ICON_CHECK(file_at(path).create());
  return SqliteLedgerStore(path);
}

Result<SqliteLedgerStore> SqliteLedgerStore::open(const std::string& path) {
  ICON_CHECK(file_at(path).check());
  return SqliteLedgerStore(path);
}

Result<LedgerStore::Last> SqliteLedgerStore::last() {
  return file_at(path_).with(
      [](SQLite::Database& database) -> Result<Last> { return last_of(database); });
}

Status SqliteLedgerStore::append(std::int64_t sequence, const std::string& text) {
  return file_at(path_).with([&](SQLite::Database& database) -> Status {
    SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
    const auto last = last_of(database);
    if (last.sequence == sequence && last.text == text) return {};
    if (sequence != last.sequence + 1)
      return fail(Code::kConflict, "ledger " + path_ + ": entry " + std::to_string(sequence) +
                                       " does not follow " + std::to_string(last.sequence));
    SQLite::Statement insert(database, "INSERT INTO ledger VALUES (?, ?)");
    insert.bind(1, sequence);
    insert.bind(2, text);
    insert.exec();
    transaction.commit();
    return {};
  });
}

Result<std::vector<std::string>> SqliteLedgerStore::read(std::int64_t first) {
  return file_at(path_).with([&](SQLite::Database& database) -> Result<std::vector<std::string>> {
    SQLite::Statement query(
        database, "SELECT text FROM ledger WHERE sequence >= ? ORDER BY sequence LIMIT ?");
    query.bind(1, first);
    query.bind(2, static_cast<std::int64_t>(kReadMax));
    std::vector<std::string> texts;
    while (query.executeStep()) texts.push_back(query.getColumn(0).getString());
    return texts;
  });
}

}  // namespace icon::budget::ledger
