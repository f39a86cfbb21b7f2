#include "budget/sqlite_file.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"

namespace icon::budget {
namespace {

constexpr const char* kHowToMend = ": the file is damaged; restore it, do not delete it";

int pragma_number(SQLite::Database& database, const char* pragma) {
  return database.execAndGet(pragma).getInt();
}

Status sync_directory_of(const std::string& path) {
  const auto slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || fsync(fd.get()) != 0) return fail_errno("sync " + directory);
  return {};
}

}  // namespace

tl::unexpected<Error> SqliteFile::damaged(const std::string& how) const {
  return fail(Code::kInvalid, kind_.what + ' ' + path_ + ": " + how + kHowToMend);
}

tl::unexpected<Error> SqliteFile::sqlite_error(const SQLite::Exception& error) const {
  const std::string text = kind_.what + ' ' + path_ + ": " + error.what();
  switch (error.getErrorCode()) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_MISMATCH:
    case SQLITE_ERROR:
      return fail(Code::kInvalid, text + kHowToMend);
    case SQLITE_CONSTRAINT:
      return fail(Code::kConflict, text);
    default:
      return fail(Code::kIo, text);
  }
}

// Without this SQLite's own message for a missing file is "unable to open database file".
Status SqliteFile::exists(const std::string& path) const {
  if (access(path.c_str(), F_OK) != 0) return fail_errno(kind_.what + ' ' + path);
  return {};
}

Status SqliteFile::check_format(SQLite::Database& database) const {
  if (pragma_number(database, "PRAGMA application_id") != kind_.application_id)
    return damaged("it is no " + kind_.what);
  const int version = pragma_number(database, "PRAGMA user_version");
  if (version != kind_.version)
    return fail(Code::kInvalid, kind_.what + ' ' + path_ + ": format " + std::to_string(version) +
                                    " is not known to this version");
  const std::string integrity = database.execAndGet("PRAGMA integrity_check(1)").getString();
  if (integrity != "ok") return damaged(integrity);
  return {};
}

Status SqliteFile::check() const {
  return with([&](SQLite::Database& database) -> Status { return check_format(database); });
}

Status SqliteFile::make(const std::string& path) const {
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) return fail_errno(kind_.what + ' ' + path);
  file.reset();
  return with_at(path, [&](SQLite::Database& database) -> Status {
    SQLite::Transaction transaction(database);
    database.exec("PRAGMA application_id=" + std::to_string(kind_.application_id));
    database.exec("PRAGMA user_version=" + std::to_string(kind_.version));
    database.exec(kind_.schema);
    transaction.commit();
    return {};
  });
}

Status SqliteFile::create() const {
  const std::string fresh = path_ + ".new";
  for (const auto* suffix : {"", "-journal"}) unlink((fresh + suffix).c_str());
  auto status = make(fresh);
  if (status && renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE) != 0)
    status = errno == EEXIST
                 ? Status(fail(Code::kConflict, kind_.what + ' ' + path_ + " exists already"))
                 : Status(fail_errno("create " + kind_.what + ' ' + path_));
  if (status) status = sync_directory_of(path_);
  if (!status) unlink(fresh.c_str());
  return status;
}

}  // namespace icon::budget
