// The ledger that one party keeps of its own affairs on its own disk, in files of bounded size:
// "ledger.db" is written, "ledger.1.db" is the one before it, older ones go. Each begins with what
// still lives of the one before and names its last entry, so that it verifies alone and follows.
#pragma once

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "budget/ledger/life.h"
#include "budget/ledger/sqlite_ledger_store.h"

namespace icon::budget::ledger {

inline constexpr std::string_view kDiaryFile = "ledger.db";
inline constexpr std::string_view kDiaryFileBefore = "ledger.1.db";

struct DiaryOptions {
  std::string directory;
  std::string name;              // of the ledger
  std::int64_t bytes_max = 0;    // a file that has reached them is not written any more
  std::int64_t entries_max = 0;  // the same
};

// Any one thread; one writer. `key` is borrowed and outlives it. Holds no descriptor between calls.
class Diary {
 public:
  // Takes up the ledger that is there, or begins one. Errors: kInvalid (damaged), kIo.
  static Result<Diary> open(DiaryOptions options, const KeyPair& key);

  // Returns when the document is durable. Errors: of Ledger::append.
  Status record(const wire::Envelope& document, UtcMillis now_ms);
  // The same with what happened, signed here.
  Status record(const wire::LifeEvent& event, UtcMillis now_ms);

  // Each of them, up to the first that fails; that is logged. Null: there is no ledger.
  static void record_all(Diary* diary, const std::vector<wire::Envelope>& documents,
                         UtcMillis now_ms);

  // Never before what is recorded, whatever a new host's clock says.
  UtcMillis not_before(UtcMillis now_ms) const { return std::max(now_ms, last_ms_); }
  // Entities of this file, and those of them that were not ended: states, and the last checkpoint.
  bool knows(const std::string& entity) const { return made_.count(entity) != 0; }
  const std::set<std::string>& living() const { return living_; }

 private:
  Diary(DiaryOptions options, const KeyPair& key) : options_(std::move(options)), key_(&key) {}
  std::string path(std::string_view file) const {
    return options_.directory + '/' + std::string(file);
  }
  Status take_up();
  Status append(const wire::Envelope& document, UtcMillis now_ms);
  void note(const wire::Envelope& document, UtcMillis recorded_ms);
  bool is_full() const;
  Status begin_next();

  DiaryOptions options_;
  const KeyPair* key_;
  std::int64_t entries_ = 0;
  std::string head_;
  UtcMillis last_ms_ = 0;
  std::set<std::string> made_;
  std::set<std::string> living_;
};

}  // namespace icon::budget::ledger
