#include "budget/purse/sqlite_purse_store.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/fd.h"

namespace icon::budget {
namespace {

constexpr int kApplicationId = 0x49434f4e;  // "ICON"
constexpr int kSchemaVersion = 1;
constexpr int kBusyTimeoutMs = 2'000;
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

tl::unexpected<Error> store_error(const std::string& path, const SQLite::Exception& error) {
  const std::string text = "purse " + path + ": " + error.what();
  switch (error.getErrorCode()) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_MISMATCH:
    case SQLITE_ERROR:
      return fail(Code::kInvalid, text + ": the file is damaged; restore it, do not delete it");
    case SQLITE_CONSTRAINT:
      return fail(Code::kConflict, text);
    default:
      return fail(Code::kIo, text);
  }
}

tl::unexpected<Error> damaged(const std::string& path, const std::string& what) {
  return fail(Code::kInvalid, "purse " + path + ": " + what +
                                  ": the file is damaged; restore it, do not delete it");
}

// Opens, works, closes. SQLite's exceptions end here.
template <class Work>
auto with_database(const std::string& path, Work work)
    -> decltype(work(std::declval<SQLite::Database&>())) {
  // Without this SQLite's own message for a missing file is "unable to open database file".
  if (access(path.c_str(), F_OK) != 0) return fail_errno("purse " + path);
  try {
    SQLite::Database database(path, SQLite::OPEN_READWRITE, kBusyTimeoutMs);
    // EXTRA is FULL plus a sync of the directory when the journal goes: with FULL alone a power
    // cut can bring the journal back, and with it the money.
    database.exec("PRAGMA synchronous=EXTRA");
    return work(database);
  } catch (const SQLite::Exception& error) {
    return store_error(path, error);
  } catch (const std::exception& error) {
    return fail(Code::kIo, "purse " + path + ": " + error.what());
  }
}

int pragma_number(SQLite::Database& database, const char* pragma) {
  return database.execAndGet(pragma).getInt();
}

Status check_format(const std::string& path, SQLite::Database& database) {
  if (pragma_number(database, "PRAGMA application_id") != kApplicationId)
    return damaged(path, "it is no purse");
  const int version = pragma_number(database, "PRAGMA user_version");
  if (version != kSchemaVersion)
    return fail(Code::kInvalid, "purse " + path + ": format " + std::to_string(version) +
                                    " is not known to this version");
  const std::string integrity = database.execAndGet("PRAGMA integrity_check(1)").getString();
  if (integrity != "ok") return damaged(path, integrity);
  return {};
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

Status make_database(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) return fail_errno("purse " + path);
  file.reset();
  return with_database(path, [](SQLite::Database& database) -> Status {
    SQLite::Transaction transaction(database);
    database.exec("PRAGMA application_id=" + std::to_string(kApplicationId));
    database.exec("PRAGMA user_version=" + std::to_string(kSchemaVersion));
    database.exec(kSchema);
    transaction.commit();
    return {};
  });
}

Status sync_directory_of(const std::string& path) {
  const auto slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || fsync(fd.get()) != 0) return fail_errno("sync " + directory);
  return {};
}

}  // namespace

// Made under another name and then renamed: a crash in between leaves no half purse.
Result<SqlitePurseStore> SqlitePurseStore::create(const std::string& path) {
  const std::string fresh = path + ".new";
  for (const auto* suffix : {"", "-journal"}) unlink((fresh + suffix).c_str());
  auto status = make_database(fresh);
  if (status && renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) != 0)
    status = errno == EEXIST ? Status(fail(Code::kConflict, "purse " + path + " exists already"))
                             : Status(fail_errno("create purse " + path));
  if (status) status = sync_directory_of(path);
  if (!status) {
    unlink(fresh.c_str());
    return fail(status.error());
  }
  return SqlitePurseStore(path);
}

Result<SqlitePurseStore> SqlitePurseStore::open(const std::string& path) {
  ICON_CHECK(with_database(
      path, [&](SQLite::Database& database) -> Status { return check_format(path, database); }));
  return SqlitePurseStore(path);
}

Status SqlitePurseStore::append(const PurseEntry& entry) {
  return with_database(path_, [&](SQLite::Database& database) -> Status {
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
  return with_database(path_, [&](SQLite::Database& database) -> Result<std::vector<PurseEntry>> {
    ICON_CHECK(check_format(path_, database));
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
        return damaged(
            path_, "entry " + std::to_string(entries.size() + 1) + " is missing or was changed");
      if (entries.size() >= kPurseEntriesMax) return damaged(path_, "the log is too long");
      entries.push_back(std::move(entry));
    }
    return entries;
  });
}

}  // namespace icon::budget
