#include "budget/purse/sqlite_purse_store.h"

#include "base/digest.h"
#include "budget/sqlite_file.h"

namespace icon::budget {
namespace {

constexpr int kApplicationId = 0x49434f4e;  // "ICON"
constexpr int kSchemaVersion = 1;
constexpr std::string_view kGenesis = "icon purse 1";

constexpr const char* kSchema =
    "CREATE TABLE purse (sequence INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL,"
    " amount INTEGER NOT NULL, at_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,"
    " digest TEXT NOT NULL) STRICT";

// Covers the digest of the line before: no line can be changed, left out or inserted unseen.
std::string digest_of(std::string_view before, const PurseEntry& entry) {
  std::string text(before);
  text += '\n' + std::to_string(entry.sequence) + '\n' + std::string(to_string(entry.kind)) + '\n' +
          std::to_string(entry.id.size()) + ':' + entry.id + '\n' + std::to_string(entry.amount) +
          '\n' + std::to_string(entry.at_ms) + '\n' + std::to_string(entry.expires_ms);
  return blake2b_hex(text);
}

struct Last {
  std::int64_t sequence = 0;
  std::string digest{kGenesis};
};

Last last_of(SQLite::Database& database) {
  Last last;
  SQLite::Statement query(database,
                          "SELECT sequence, digest FROM purse ORDER BY sequence DESC LIMIT 1");
  if (query.executeStep()) {
    last.sequence = query.getColumn(0).getInt64();
    last.digest = query.getColumn(1).getString();
  }
  return last;
}

SqliteFile file_at(const std::string& path) {
  return {{"purse", kApplicationId, kSchemaVersion, kSchema}, path};
}

}  // namespace

Result<SqlitePurseStore> SqlitePurseStore::create(const std::string& path) {
  ICON_CHECK(file_at(path).create());
  return SqlitePurseStore(path);
}

Result<SqlitePurseStore> SqlitePurseStore::open(const std::string& path) {
  ICON_CHECK(file_at(path).check());
  return SqlitePurseStore(path);
}

Status SqlitePurseStore::append(const PurseEntry& entry) {
  return file_at(path_).with([&](SQLite::Database& database) -> Status {
    SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
    const Last last = last_of(database);
    if (entry.sequence != last.sequence + 1)
      return fail(Code::kConflict, "purse " + path_ + ": entry " + std::to_string(entry.sequence) +
                                       " does not follow " + std::to_string(last.sequence) +
                                       ": somebody else wrote");
    SQLite::Statement insert(database, "INSERT INTO purse VALUES (?, ?, ?, ?, ?, ?, ?)");
    insert.bind(1, entry.sequence);
    insert.bind(2, std::string(to_string(entry.kind)));
    insert.bind(3, entry.id);
    insert.bind(4, entry.amount);
    insert.bind(5, entry.at_ms);
    insert.bind(6, entry.expires_ms);
    insert.bind(7, digest_of(last.digest, entry));
    insert.exec();
    transaction.commit();
    return {};
  });
}

Result<std::vector<PurseEntry>> SqlitePurseStore::load() {
  const auto file = file_at(path_);
  return file.with([&](SQLite::Database& database) -> Result<std::vector<PurseEntry>> {
    ICON_CHECK(file.check_format(database));
    std::vector<PurseEntry> entries;
    std::string digest(kGenesis);
    SQLite::Statement query(database, "SELECT * FROM purse ORDER BY sequence");
    while (query.executeStep()) {
      PurseEntry entry;
      entry.sequence = query.getColumn(0).getInt64();
      const auto kind = purse_entry_kind(query.getColumn(1).getString());
      entry.id = query.getColumn(2).getString();
      entry.amount = query.getColumn(3).getInt64();
      entry.at_ms = query.getColumn(4).getInt64();
      entry.expires_ms = query.getColumn(5).getInt64();
      if (kind) entry.kind = *kind;
      digest = digest_of(digest, entry);
      if (!kind || entry.sequence != static_cast<std::int64_t>(entries.size()) + 1 ||
          digest != query.getColumn(6).getString())
        return file.damaged("entry " + std::to_string(entries.size() + 1) +
                            " is missing or was changed");
      if (entries.size() >= kPurseEntriesMax) return file.damaged("the log is too long");
      entries.push_back(std::move(entry));
    }
    return entries;
  });
}

}  // namespace icon::budget
