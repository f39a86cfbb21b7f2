// The purse's log in an SQLite file that travels with the container. The file is opened for each
// operation and closed again: the process is checkpointed at any moment and must hold no lock or
// descriptor then. Every entry carries a digest over itself and the one before it, so that a log
// with a changed, missing or foreign line is refused instead of believed.
#pragma once

#include <string>

#include "budget/purse/purse.h"

namespace icon::budget {

// Owner and thread: as its Purse. What is not detected: a whole older copy of the file put back.
class SqlitePurseStore final : public PurseStore {
 public:
  // Makes an empty log, mode 0600. Errors: kConflict when the file exists, kIo, kRefused.
  static Result<SqlitePurseStore> create(const std::string& path);
  // Errors: kNotFound when the file is absent, kInvalid when it is no intact purse (an empty or
  // truncated file included).
  static Result<SqlitePurseStore> open(const std::string& path);

  // synchronous=FULL, rollback journal: on return the entry survives a power cut.
  Status append(const PurseEntry& entry) override;
  Result<std::vector<PurseEntry>> load() override;

 private:
  explicit SqlitePurseStore(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace icon::budget
