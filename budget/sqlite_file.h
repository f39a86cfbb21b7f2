// A small SQLite file that is opened for each operation and closed again, because the process may
// be checkpointed at any moment. Every commit is durable; SQLite's exceptions end here.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <string>

#include "base/result.h"

namespace icon::budget {

struct SqliteKind {
  std::string what;  // "purse": begins every message
  int application_id = 0;
  int version = 1;
  std::string schema;
};

class SqliteFile {
 public:
  SqliteFile(SqliteKind kind, std::string path) : kind_(std::move(kind)), path_(std::move(path)) {}

  // Made under another name and then renamed: a crash in between leaves no half file.
  // Errors: kConflict (it exists), kIo.
  Status create() const;
  // Errors: kNotFound, kInvalid (damaged, foreign, of another version), kIo.
  Status check() const;

  // work(SQLite::Database&) -> Result or Status. Errors: kNotFound, kConflict (a constraint),
  // kInvalid (damaged), kIo; the work's.
  template <class Work>
  auto with(Work work) const -> decltype(work(std::declval<SQLite::Database&>())) {
    return with_at(path_, std::move(work));
  }
  Status check_format(SQLite::Database& database) const;
  tl::unexpected<Error> damaged(const std::string& how) const;
  const std::string& path() const { return path_; }

 private:
  template <class Work>
  auto with_at(const std::string& path, Work work) const
      -> decltype(work(std::declval<SQLite::Database&>())) {
    if (const auto there = exists(path); !there) return fail(there.error());
    try {
      SQLite::Database database(path, SQLite::OPEN_READWRITE, kBusyTimeoutMs);
      // EXTRA is FULL plus a sync of the directory when the journal goes: with FULL alone a power
      // cut can bring the journal back, and with it what was undone.
      database.exec("PRAGMA synchronous=EXTRA");
      return work(database);
    } catch (const SQLite::Exception& error) {
      return sqlite_error(error);
    } catch (const std::exception& error) {
      return fail(Code::kIo, kind_.what + ' ' + path + ": " + error.what());
    }
  }
  static constexpr int kBusyTimeoutMs = 2'000;
  Status exists(const std::string& path) const;
  Status make(const std::string& path) const;
  tl::unexpected<Error> sqlite_error(const SQLite::Exception& error) const;

  SqliteKind kind_;
  std::string path_;
};

}  // namespace icon::budget
