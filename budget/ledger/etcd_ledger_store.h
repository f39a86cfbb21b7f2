// A ledger that several parties share, in etcd (3.4 as Debian ships it), by its HTTP gateway:
// /v3/kv/txn and /v3/kv/range. An entry is written when its key does not exist and the one before
// does, in one transaction: of all who append at once one wins, on whichever node.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "budget/ledger/ledger.h"

namespace icon::budget::ledger {

struct EtcdOptions {
  std::vector<std::string>
      endpoints;        // "http://127.0.0.1:2379"; tried in turn, the last good first
  std::string prefix;   // of the keys: "/icon/ledger/NAME/"
  std::string ca_file;  // for https; all three or none
  std::string certificate_file;
  std::string key_file;
  Millis call_limit{5'000};  // for one node's answer
};

// Blocking: for a thread or a program that may wait. One thread at a time.
class EtcdLedgerStore final : public LedgerStore {
 public:
  // Connects to nothing yet. Errors: kInvalid (no endpoint, an empty prefix).
  static Result<EtcdLedgerStore> create(EtcdOptions options);
  EtcdLedgerStore(EtcdLedgerStore&&) noexcept;
  ~EtcdLedgerStore() override;

  // Reads ask for the cluster's agreement: what a majority has, not what a node remembers.
  // Errors of all: kUnavailable (no node answers, or the cluster has no majority).
  Result<Last> last() override;
  Status append(std::int64_t sequence, const std::string& text) override;
  Result<std::vector<std::string>> read(std::int64_t first) override;

 private:
  struct Connection;
  EtcdLedgerStore(EtcdOptions options, std::unique_ptr<Connection> connection);

  Result<json::Object> call(const std::string& path, const json::Object& request);
  std::string key_of(std::int64_t sequence) const;

  EtcdOptions options_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace icon::budget::ledger
