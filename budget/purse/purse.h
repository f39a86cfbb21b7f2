// What an ICON may spend, and what is already promised. A price is first held, then settled
// (paid) or released; invariant I4 holds after every line: spent + held <= budget.
// PurseState is the pure state machine; Purse adds that every step is durable before it is seen.
#pragma once

#include <string>
#include <vector>

#include "budget/purse/state.h"

namespace icon::budget {

// Where the log lives. One writer; a second one is refused by its sequence number.
class PurseStore {
 public:
  virtual ~PurseStore() = default;
  // Returns after the entry is durable. Errors: kConflict (that sequence number is taken: somebody
  // else wrote), kIo, kInvalid (the store is damaged).
  virtual Status append(const PurseEntry& entry) = 0;
  // All entries in order. Errors: kNotFound, kIo, kInvalid (damaged; the message says where).
  virtual Result<std::vector<PurseEntry>> load() = 0;
};

// The purse of a running ICON. Owner: the agent; one thread. `store` is borrowed and outlives it.
// Every operation is idempotent by id: repeating it after a crash changes nothing. After an error
// of the store the next operation reads the log again, so that memory never runs ahead of it.
class Purse {
 public:
  // A purse that does not exist yet: the store must be empty. Errors: kConflict, kInvalid; store's.
  static Result<Purse> create(PurseStore& store, MicroCredits budget, UtcMillis now_ms);
  // One that exists. Errors: kNotFound for an empty store (never a fresh purse), kInvalid when the
  // log contradicts itself; store's.
  static Result<Purse> open(PurseStore& store);

  // Sets `amount` aside until `expires_ms`, which must not lie before the end of what the hold
  // pays for being accepted (the bid's expiry): after it, settling is refused.
  // Errors: kLimit ("0.9 credits asked, 0.4 left"), kConflict (the id is known with other terms or
  // is already settled, released or expired), kExpired, kInvalid; store's.
  Status hold(const std::string& id, MicroCredits amount, UtcMillis expires_ms, UtcMillis now_ms);
  // Pays `amount`, at most what is held; the rest is free again. Errors: kNotFound, kConflict
  // (released, expired, or settled with another amount), kLimit, kInvalid; store's.
  Status settle(const std::string& id, MicroCredits amount, UtcMillis now_ms);
  // Errors: kNotFound, kConflict (settled); store's. Of an expired hold: fine, nothing to do.
  Status release(const std::string& id, UtcMillis now_ms);
  // Money back for a settled hold (a receipt); `amount` is the total that came back so far, so
  // that a repeated receipt counts once. Errors: kNotFound, kConflict (not settled, or less than
  // before), kLimit (more than was paid), kInvalid; store's.
  Status refund(const std::string& id, MicroCredits amount, UtcMillis now_ms);
  // Frees every hold whose time is over; returns how many. Errors: store's.
  Result<int> expire(UtcMillis now_ms);
  // A new policy. Errors: kLimit when more is already spent, held or shared; store's.
  Status set_budget(MicroCredits budget, UtcMillis now_ms);

  // The purse's part in a tree (budget/purse/tree.h makes and reads the documents). All totals are
  // sums so far, which only grow: what is known already changes nothing.
  // Errors: kLimit (the money is not there), kInvalid; store's.
  Status share(const std::string& child, MicroCredits total, UtcMillis now_ms);
  Status grant(const std::string& grantor, MicroCredits total, UtcMillis now_ms);
  Status give_back(const Return& what, MicroCredits total, UtcMillis now_ms);
  Status credit(const Credit& what, MicroCredits total, UtcMillis now_ms);

  const PurseState& state() const { return state_; }
  MicroCredits available() const { return state_.available(); }

 private:
  explicit Purse(PurseStore& store) : store_(&store) {}
  Status replay();
  Status refresh();
  Status record(PurseEntry entry);
  Status raise(PurseEntry entry);

  PurseStore* store_;
  PurseState state_;
  bool stale_ = false;  // an append failed: only the store knows whether it happened
};

// A log in memory: for tests and for an ICON without a disk. Fails on demand.
class MemoryPurseStore final : public PurseStore {
 public:
  Status append(const PurseEntry& entry) override;
  Result<std::vector<PurseEntry>> load() override { return entries_; }
  // The next append fails with kIo; `written` says whether the entry is there all the same, as
  // when the disk fails after the write.
  void fail_next_append(bool written) { fail_next_ = written ? Fail::kAfter : Fail::kBefore; }

 private:
  enum class Fail { kNo, kBefore, kAfter };
  std::vector<PurseEntry> entries_;
  Fail fail_next_ = Fail::kNo;
};

}  // namespace icon::budget
