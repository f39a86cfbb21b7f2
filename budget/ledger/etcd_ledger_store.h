// A ledger that several parties share, in etcd (3.4 as Debian ships it), by its HTTP gateway:
// /v3/kv/txn and /v3/kv/range. An entry is written when its key does not exist and the one before
// does, in one transaction: of all who append at once one wins, on whichever node.
#pragma once

#include <string>
#include <vector>

#include "budget/ledger/etcd_gateway.h"
#include "budget/ledger/ledger.h"

namespace icon::budget::ledger {

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
  explicit EtcdLedgerStore(EtcdGateway gateway);
  std::string key_of(std::int64_t sequence) const;

  EtcdGateway gateway_;
};

}  // namespace icon::budget::ledger
