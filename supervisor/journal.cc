#include "supervisor/journal.h"

#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Statement.h>
#include <sqlite3.h>

#include <boost/json/serialize.hpp>
#include <filesystem>

#include "base/assert.h"
#include "supervisor/journal_rows.h"

namespace icon::supervisor {
namespace {

constexpr int kApplicationId = 0x49434f4e;  // "ICON"
constexpr std::size_t kRowBytesMax = 16 << 20;
constexpr int kLockWaitMs = 2'000;  // a predecessor that is just being killed

constexpr const char* kSchema = R"(
  CREATE TABLE icons (id TEXT PRIMARY KEY, name TEXT NOT NULL, state TEXT NOT NULL,
                      data TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE epochs (icon TEXT PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE migrations (id TEXT PRIMARY KEY, icon TEXT NOT NULL, started_ms INTEGER NOT NULL,
                           ended_ms INTEGER NOT NULL, data TEXT NOT NULL) WITHOUT ROWID;
  CREATE INDEX migrations_by_time ON migrations (started_ms);
  CREATE TABLE stubs (icon TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE tunnels (peer TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE leases (lease_id TEXT PRIMARY KEY, icon TEXT NOT NULL, state TEXT NOT NULL,
                       expires_ms INTEGER NOT NULL, data TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE decisions (id TEXT PRIMARY KEY, icon TEXT NOT NULL, time_ms INTEGER NOT NULL,
                          data TEXT NOT NULL) WITHOUT ROWID;
  CREATE INDEX decisions_by_icon ON decisions (icon, time_ms);
  CREATE TABLE nonces (kind TEXT NOT NULL, nonce TEXT NOT NULL, expires_ms INTEGER NOT NULL,
                       PRIMARY KEY (kind, nonce)) WITHOUT ROWID;
  CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
)";

tl::unexpected<Error> database_failed(const SQLite::Exception& error) {
  return fail(Code::kIo, std::string("journal: ") + error.what());
}

// Runs `work` and turns the library's exceptions into errors.
template <class Work>
auto guarded(Work work) -> decltype(work()) {
  try {
    return work();
  } catch (const SQLite::Exception& error) {
    return database_failed(error);
  }
}

void bind_at(SQLite::Statement& statement, int index, const std::string& value) {
  statement.bind(index, value);
}
void bind_at(SQLite::Statement& statement, int index, std::int64_t value) {
  statement.bind(index, static_cast<std::int64_t>(value));
}

template <class... Values>
void bind_all(SQLite::Statement& statement, const Values&... values) {
  int index = 0;
  (bind_at(statement, ++index, values), ...);
}

template <class Record>
Result<Record> parse_row(const std::string& text) {
  Record record;
  ICON_TRY(const auto row, json::parse_object(text, kRowBytesMax, json::kOwnDepthMax));
  ICON_CHECK(from_row(row, record));
  return record;
}

// Beside the schema: they change nothing for an older supervisor.
constexpr const char* kIndexes =
    "CREATE INDEX IF NOT EXISTS leases_by_state ON leases (state, expires_ms)";

Status prepare_schema(SQLite::Database& database, const std::string& path) {
  const int version = database.execAndGet("PRAGMA user_version").getInt();
  const int application = database.execAndGet("PRAGMA application_id").getInt();
  if (version == 0 && application == 0) {
    database.exec("BEGIN IMMEDIATE");
    database.exec(kSchema);
    database.exec("PRAGMA application_id = " + std::to_string(kApplicationId));
    database.exec("PRAGMA user_version = " + std::to_string(Journal::kSchemaVersion));
    database.exec("COMMIT");
    return {};
  }
  if (application != kApplicationId)
    return fail(Code::kInvalid, path +
                                    " is a database of another program: choose another "
                                    "state_dir or move the file away");
  if (version > Journal::kSchemaVersion)
    return fail(Code::kUnavailable, path + " was written by a newer icon-supervisor (schema " +
                                        std::to_string(version) + ", this one knows " +
                                        std::to_string(Journal::kSchemaVersion) +
                                        "): start that version");
  return {};
}

tl::unexpected<Error> open_failed(const std::string& path, const SQLite::Exception& error) {
  const int code = error.getErrorCode() & 0xff;
  if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
    return fail(Code::kConflict, path +
                                     ": another icon-supervisor uses this journal; stop it "
                                     "first or choose another state_dir");
  if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT)
    return fail(Code::kInvalid, path + " is damaged (" + error.what() +
                                    "): restore a copy, or move it away and start anew; running "
                                    "ICONs are then not adopted");
  return fail(Code::kIo, path + ": " + error.what());
}

}  // namespace

struct Journal::Database {
  explicit Database(const std::string& path)
      : sqlite(path, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, kLockWaitMs) {}
  SQLite::Database sqlite;
  int depth = 0;

  template <class... Values>
  Status run(const std::string& sql, const Values&... values) {
    return guarded([&]() -> Status {
      SQLite::Statement statement(sqlite, sql);
      bind_all(statement, values...);
      statement.exec();
      return {};
    });
  }
  // Rows, by the last run().
  std::size_t changed() { return static_cast<std::size_t>(sqlite3_changes(sqlite.getHandle())); }

  template <class... Values>
  Result<bool> any(const std::string& sql, const Values&... values) {
    return guarded([&]() -> Result<bool> {
      SQLite::Statement statement(sqlite, sql);
      bind_all(statement, values...);
      return statement.executeStep();
    });
  }

  template <class Record, class... Values>
  Result<std::vector<Record>> select(const std::string& sql, const Values&... values) {
    return guarded([&]() -> Result<std::vector<Record>> {
      std::vector<Record> records;
      SQLite::Statement statement(sqlite, sql);
      bind_all(statement, values...);
      while (statement.executeStep()) {
        ICON_TRY(auto record, parse_row<Record>(statement.getColumn(0).getString()));
        records.push_back(std::move(record));
      }
      return records;
    });
  }

  template <class Record>
  Result<std::optional<Record>> find(const std::string& sql, const std::string& key) {
    ICON_TRY(auto records, select<Record>(sql, key));
    if (records.empty()) return std::optional<Record>();
    return std::optional<Record>(std::move(records.front()));
  }

  // The first column of the first row.
  Result<std::optional<std::string>> text(const char* sql, const std::string& key) {
    return guarded([&]() -> Result<std::optional<std::string>> {
      SQLite::Statement statement(sqlite, sql);
      bind_all(statement, key);
      if (!statement.executeStep()) return std::optional<std::string>();
      return std::optional<std::string>(statement.getColumn(0).getString());
    });
  }
};

Journal::Journal(std::unique_ptr<Database> database) : database_(std::move(database)) {}
Journal::~Journal() = default;

Result<std::unique_ptr<Journal>> Journal::open(const std::string& path) {
  try {
    auto database = std::make_unique<Database>(path);
    auto& sqlite = database->sqlite;
    // Exclusive: a second supervisor on the same state would adopt, and kill, the same ICONs.
    sqlite.exec("PRAGMA locking_mode = EXCLUSIVE");
    sqlite.execAndGet("PRAGMA journal_mode = WAL");
    sqlite.exec("PRAGMA synchronous = FULL");
    sqlite.exec("BEGIN IMMEDIATE; COMMIT");
    const std::string check = sqlite.execAndGet("PRAGMA quick_check(1)").getString();
    if (check != "ok")
      return fail(Code::kInvalid, path + " is damaged (" + check +
                                      "): restore a copy, or move it away and start anew; running "
                                      "ICONs are then not adopted");
    ICON_CHECK(prepare_schema(sqlite, path));
    sqlite.exec(kIndexes);
    std::filesystem::permissions(
        path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    return std::unique_ptr<Journal>(new Journal(std::move(database)));
  } catch (const SQLite::Exception& error) {
    return open_failed(path, error);
  } catch (const std::filesystem::filesystem_error& error) {
    return fail(Code::kIo, path + ": " + error.what());
  }
}

Status Journal::transaction(const std::function<Status()>& work) {
  if (database_->depth > 0) return work();
  const auto execute = [&](const char* sql) {
    return guarded([&]() -> Status {
      database_->sqlite.exec(sql);
      return {};
    });
  };
  ICON_CHECK(execute("BEGIN IMMEDIATE"));
  ++database_->depth;
  auto status = work();
  --database_->depth;
  if (status) status = execute("COMMIT");
  if (!status) (void)execute("ROLLBACK");
  return status;
}

Status Journal::put_icon(const IconRecord& icon) {
  return database_->run("INSERT OR REPLACE INTO icons VALUES (?, ?, ?, ?)", icon.id, icon.name,
                        icon.state, boost::json::serialize(to_row(icon)));
}

Result<std::optional<IconRecord>> Journal::find_icon(const std::string& id) {
  return database_->find<IconRecord>("SELECT data FROM icons WHERE id = ?", id);
}

Result<std::vector<IconRecord>> Journal::icons() {
  return database_->select<IconRecord>("SELECT data FROM icons ORDER BY name, id");
}

Status Journal::set_icon_state(const std::string& id, std::string_view state) {
  ICON_TRY(auto icon, find_icon(id));
  if (!icon) return fail(Code::kNotFound, "no ICON " + id);
  icon->state = state;
  return put_icon(*icon);
}

Status Journal::remove_icon(const std::string& id) {
  return database_->run("DELETE FROM icons WHERE id = ?", id);
}

Result<std::int64_t> Journal::committed_epoch(const std::string& icon) {
  ICON_TRY(const auto text, database_->text("SELECT epoch FROM epochs WHERE icon = ?", icon));
  return text ? std::stoll(*text) : 0;
}

Status Journal::check_epoch(const std::string& icon, std::int64_t epoch) {
  ICON_TRY(const auto committed, committed_epoch(icon));
  if (epoch > committed) return {};
  return fail(Code::kConflict, "epoch " + std::to_string(epoch) + " of ICON " + short_id(icon) +
                                   " is not newer than " + std::to_string(committed) +
                                   ", which this host has seen committed");
}

Status Journal::note_committed_epoch(const std::string& icon, std::int64_t epoch) {
  return database_->run(
      "INSERT INTO epochs VALUES (?, ?) ON CONFLICT (icon) DO UPDATE SET epoch = excluded.epoch "
      "WHERE excluded.epoch > epoch",
      icon, epoch);
}

Status Journal::put_migration(const MigrationRecord& migration) {
  return database_->run("INSERT OR REPLACE INTO migrations VALUES (?, ?, ?, ?, ?)", migration.id,
                        migration.icon, migration.started_ms, migration.ended_ms,
                        boost::json::serialize(to_row(migration)));
}

Result<std::optional<MigrationRecord>> Journal::find_migration(const std::string& id) {
  return database_->find<MigrationRecord>("SELECT data FROM migrations WHERE id = ?", id);
}

Result<std::vector<MigrationRecord>> Journal::migrations() {
  return database_->select<MigrationRecord>(
      "SELECT data FROM migrations ORDER BY started_ms DESC, id LIMIT 1000");
}

Result<std::vector<MigrationRecord>> Journal::unfinished_migrations() {
  return database_->select<MigrationRecord>(
      "SELECT data FROM migrations WHERE ended_ms = 0 ORDER BY started_ms");
}

Status Journal::put_stub(const StubRecord& stub) {
  return database_->run("INSERT OR REPLACE INTO stubs VALUES (?, ?)", stub.icon,
                        boost::json::serialize(to_row(stub)));
}

Result<std::optional<StubRecord>> Journal::find_stub(const std::string& icon) {
  return database_->find<StubRecord>("SELECT data FROM stubs WHERE icon = ?", icon);
}

Result<std::vector<StubRecord>> Journal::stubs() {
  return database_->select<StubRecord>("SELECT data FROM stubs ORDER BY icon");
}

Status Journal::remove_stub(const std::string& icon) {
  return database_->run("DELETE FROM stubs WHERE icon = ?", icon);
}

Status Journal::put_tunnel(const std::string& peer, const json::Object& data) {
  return database_->run("INSERT OR REPLACE INTO tunnels VALUES (?, ?)", peer,
                        boost::json::serialize(data));
}

Result<std::optional<json::Object>> Journal::find_tunnel(const std::string& peer) {
  ICON_TRY(const auto text, database_->text("SELECT data FROM tunnels WHERE peer = ?", peer));
  if (!text) return std::optional<json::Object>();
  ICON_TRY(auto object, json::parse_object(*text, kRowBytesMax, json::kOwnDepthMax));
  return std::optional<json::Object>(std::move(object));
}

Result<std::vector<std::pair<std::string, json::Object>>> Journal::tunnels() {
  using Rows = std::vector<std::pair<std::string, json::Object>>;
  return guarded([&]() -> Result<Rows> {
    Rows rows;
    SQLite::Statement statement(database_->sqlite, "SELECT peer, data FROM tunnels ORDER BY peer");
    while (statement.executeStep()) {
      ICON_TRY(auto data, json::parse_object(statement.getColumn(1).getString(), kRowBytesMax,
                                             json::kOwnDepthMax));
      rows.emplace_back(statement.getColumn(0).getString(), std::move(data));
    }
    return rows;
  });
}

Status Journal::remove_tunnel(const std::string& peer) {
  return database_->run("DELETE FROM tunnels WHERE peer = ?", peer);
}

Status Journal::put_lease(const LeaseRecord& lease) {
  return database_->run("INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?)", lease.lease_id,
                        lease.icon, lease.state, lease.expires_ms,
                        boost::json::serialize(to_row(lease)));
}

Result<std::optional<LeaseRecord>> Journal::find_lease(const std::string& lease_id) {
  return database_->find<LeaseRecord>("SELECT data FROM leases WHERE lease_id = ?", lease_id);
}

Result<std::vector<LeaseRecord>> Journal::leases() {
  return database_->select<LeaseRecord>("SELECT data FROM leases ORDER BY expires_ms, lease_id");
}

Result<std::vector<LeaseRecord>> Journal::open_leases() {
  return database_->select<LeaseRecord>(
      "SELECT data FROM leases WHERE state IN ('reserved', 'held', 'active') ORDER BY expires_ms, "
      "lease_id");
}

Status Journal::forget_closed_leases(UtcMillis ended_before_ms) {
  const std::string closed =
      "FROM leases WHERE state = 'lapsed' OR (state IN ('released', 'expired') AND expires_ms < ?)";
  // Every second, and for nothing nearly always.
  ICON_TRY(const bool any, database_->any("SELECT 1 " + closed + " LIMIT 1", ended_before_ms));
  if (!any) return {};
  return transaction([&]() -> Status {
    ICON_CHECK(database_->run(
        "DELETE FROM kv WHERE ((key >= 'bid/' AND key < 'bid0') OR (key >= 'reservation/' AND key "
        "< 'reservation0')) AND value IN (SELECT lease_id " +
            closed + ")",
        ended_before_ms));
    return database_->run("DELETE " + closed, ended_before_ms);
  });
}

Result<Journal::Forgotten> Journal::forget_past(UtcMillis before_ms, std::size_t count_max) {
  const auto most = static_cast<std::int64_t>(count_max);
  Forgotten gone;
  ICON_CHECK(transaction([&]() -> Status {
    // What has ended began before: so the index by time serves.
    ICON_CHECK(database_->run(
        "DELETE FROM migrations WHERE id IN (SELECT id FROM migrations WHERE started_ms < ?1 AND "
        "ended_ms > 0 AND ended_ms < ?1 ORDER BY started_ms LIMIT ?2)",
        before_ms, most));
    gone.migrations = database_->changed();
    ICON_CHECK(database_->run(
        "DELETE FROM decisions WHERE id IN (SELECT id FROM decisions WHERE time_ms < ?1 AND icon "
        "NOT IN (SELECT id FROM icons) LIMIT ?2)",
        before_ms, most));
    gone.decisions = database_->changed();
    return {};
  }));
  return gone;
}

Status Journal::put_decision(const DecisionRecord& decision) {
  return transaction([&]() -> Status {
    ICON_CHECK(database_->run("INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?)", decision.id,
                              decision.icon, decision.time_ms,
                              boost::json::serialize(to_row(decision))));
    return database_->run(
        "DELETE FROM decisions WHERE icon = ?1 AND id IN (SELECT id FROM decisions WHERE icon = ?1 "
        "ORDER BY time_ms DESC, id LIMIT -1 OFFSET ?2)",
        decision.icon, static_cast<std::int64_t>(kDecisionsPerIconMax));
  });
}

Result<std::vector<DecisionRecord>> Journal::decisions(const std::string& icon,
                                                       std::size_t count_max) {
  return database_->select<DecisionRecord>(
      "SELECT data FROM decisions WHERE ?1 = '' OR icon = ?1 ORDER BY time_ms DESC, id LIMIT ?2",
      icon, static_cast<std::int64_t>(count_max));
}

Status Journal::use_nonce(const std::string& kind, const std::string& nonce, UtcMillis expires_ms) {
  ICON_CHECK(
      database_->run("INSERT OR IGNORE INTO nonces VALUES (?, ?, ?)", kind, nonce, expires_ms));
  if (database_->changed() == 1) return {};
  return fail(Code::kConflict, "this " + kind + " was used before");
}

Status Journal::forget_expired_nonces(UtcMillis now_ms) {
  return database_->run("DELETE FROM nonces WHERE expires_ms < ?", now_ms);
}

Status Journal::put_value(const std::string& key, const std::string& value) {
  return database_->run("INSERT OR REPLACE INTO kv VALUES (?, ?)", key, value);
}

Result<std::optional<std::string>> Journal::value(const std::string& key) {
  return database_->text("SELECT value FROM kv WHERE key = ?", key);
}

Result<std::vector<std::pair<std::string, std::string>>> Journal::values(std::string_view prefix) {
  using Rows = std::vector<std::pair<std::string, std::string>>;
  ICON_ASSERT(prefix.ends_with('/'));
  const std::string from(prefix);
  const std::string to = from.substr(0, from.size() - 1) + '0';  // what follows '/'
  return guarded([&]() -> Result<Rows> {
    Rows rows;
    SQLite::Statement statement(database_->sqlite,
                                "SELECT key, value FROM kv WHERE key >= ? AND key < ?");
    bind_all(statement, from, to);
    while (statement.executeStep())
      rows.emplace_back(statement.getColumn(0).getString(), statement.getColumn(1).getString());
    return rows;
  });
}

Status Journal::remove_value(const std::string& key) {
  return database_->run("DELETE FROM kv WHERE key = ?", key);
}

}  // namespace icon::supervisor
