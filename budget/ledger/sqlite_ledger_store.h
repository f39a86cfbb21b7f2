// The ledger on its host's disk: the embedded default. The file refuses to change or drop an entry;
// whoever forces it is found out by the chain.
#pragma once

#include <string>

#include "budget/ledger/ledger.h"

namespace icon::budget::ledger {

// Any thread, one at a time; several processes may append to one file. Holds no descriptor between
// calls.
class SqliteLedgerStore final : public LedgerStore {
 public:
  // Errors: kConflict (it exists), kIo.
  static Result<SqliteLedgerStore> create(const std::string& path);
  // Errors: kNotFound, kInvalid (damaged), kIo.
  static Result<SqliteLedgerStore> open(const std::string& path);

  Result<Last> last() override;
  Status append(std::int64_t sequence, const std::string& text) override;
  Result<std::vector<std::string>> read(std::int64_t first) override;

 private:
  explicit SqliteLedgerStore(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace icon::budget::ledger
