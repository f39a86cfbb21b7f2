// An append-only log of signed documents, each entry chained to the one before and signed by who
// recorded it. Where it lives is a LedgerStore's affair; whether it is whole is anybody's to check.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "wire/ledger.h"

namespace icon::budget::ledger {

inline constexpr std::size_t kEntryBytesMax = 2 * wire::kDocumentBytesMax;
inline constexpr int kAppendAttemptsMax = 16;  // against others who append to the same ledger
inline constexpr std::size_t kReadMax = 256;   // entries per call
// What the first entry follows.
inline const std::string kGenesis(64, '0');

// Where a ledger's entries are, as text. One ledger per store. Blocking.
class LedgerStore {
 public:
  struct Last {
    std::int64_t sequence = 0;  // 0: the ledger is empty
    std::string text;
  };
  virtual ~LedgerStore() = default;
  virtual Result<Last> last() = 0;
  // Returns after the entry is durable. Compare-and-swap: kConflict when `sequence` is taken, or
  // does not follow the last one. Whoever appends the same text again succeeds. Errors: kIo,
  // kTimeout (it may be there or not: append again), kInvalid (the store is damaged).
  virtual Status append(std::int64_t sequence, const std::string& text) = 0;
  // At most kReadMax entries from `first` on, in order, without gaps. Errors: kIo, kInvalid.
  virtual Result<std::vector<std::string>> read(std::int64_t first) = 0;
};

// Records documents. `store` and `key` are borrowed and outlive it. One thread.
class Ledger {
 public:
  Ledger(LedgerStore& store, const KeyPair& key, std::string name)
      : store_(&store), key_(&key), name_(std::move(name)) {}
  // The digest of the new entry. The document's signature is checked first.
  // Errors: kUnauthenticated, kLimit (too large; others were faster too often), kInvalid (the last
  // entry is damaged, or of another ledger); store's.
  Result<std::string> append(const wire::Envelope& document, UtcMillis now_ms);

 private:
  LedgerStore* store_;
  const KeyPair* key_;
  std::string name_;
};

struct Report {
  std::string name;
  std::int64_t entries = 0;
  std::string head;  // digest of the last entry
  UtcMillis first_ms = 0;
  UtcMillis last_ms = 0;
  std::map<std::string, std::int64_t> types;  // of documents
  std::set<PublicKey> writers;
};

// Reads a ledger entry by entry and proves it: every link, every signature, every document.
class Verifier {
 public:
  // The entry, when it follows. Errors: kInvalid (a gap, a change, another ledger),
  // kUnauthenticated (a signature); the message says at which entry.
  Result<wire::LedgerEntry> add(std::string_view text);
  const Report& report() const { return report_; }

 private:
  Report report_;
};

// The whole of a store. Errors: of the verifier and the store.
Result<std::vector<wire::LedgerEntry>> verified_entries(LedgerStore& store, Report& report);

// A ledger in memory: for tests. Takes the next append or not, and says kTimeout, on demand.
class MemoryLedgerStore final : public LedgerStore {
 public:
  Result<Last> last() override;
  Status append(std::int64_t sequence, const std::string& text) override;
  Result<std::vector<std::string>> read(std::int64_t first) override;
  void lose_next_answer(bool written) { lose_next_ = written; }
  std::vector<std::string>& texts() { return texts_; }

 private:
  std::vector<std::string> texts_;
  std::optional<bool> lose_next_;
};

}  // namespace icon::budget::ledger
