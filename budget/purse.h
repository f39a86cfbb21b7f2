// What an ICON may spend, and what is already promised. A price is first held, then settled
// (paid) or released; invariant I4 holds after every line: spent + held <= budget.
// PurseState is the pure state machine; Purse adds that every step is durable before it is seen.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "budget/money.h"

namespace icon::budget {

inline constexpr std::size_t kHoldsOpenMax = 1024;
inline constexpr std::size_t kPurseEntriesMax = 1'000'000;
inline constexpr std::size_t kHoldIdBytesMax = 128;

// One line of the purse's log. The log is the purse: replaying it gives the state.
struct PurseEntry {
  enum class Kind { kBudget, kHold, kSettle, kRelease, kExpire, kRefund };
  std::int64_t sequence = 0;  // 1, 2, 3, ...
  Kind kind = Kind::kBudget;
  std::string id;           // of the hold; empty for kBudget
  MicroCredits amount = 0;  // the budget, what is held, what is paid or what came back
  UtcMillis at_ms = 0;
  UtcMillis expires_ms = 0;  // kHold only

  bool operator==(const PurseEntry&) const = default;
};
std::string_view to_string(PurseEntry::Kind kind);
Result<PurseEntry::Kind> purse_entry_kind(std::string_view name);  // Errors: kInvalid

struct Hold {
  enum class State { kHeld, kSettled, kReleased, kExpired };
  State state = State::kHeld;
  MicroCredits amount = 0;    // what was held
  MicroCredits paid = 0;      // kSettled: what was paid, less what came back
  MicroCredits refunded = 0;  // kSettled: what came back
  UtcMillis expires_ms = 0;

  bool operator==(const Hold&) const = default;
};

// Pure: what may follow what, and the sums. No clock, no file.
class PurseState {
 public:
  // Errors: kConflict (the entry contradicts what happened to its hold, or the sequence), kLimit
  // (the money is not there), kInvalid (amount or id out of range). After an error nothing changed.
  Status apply(const PurseEntry& entry);
  // The same checks without the change.
  Status check(const PurseEntry& entry) const;

  MicroCredits budget() const { return budget_; }
  MicroCredits spent() const { return spent_; }
  MicroCredits held() const { return held_; }
  MicroCredits available() const { return budget_ - spent_ - held_; }
  std::int64_t sequence() const { return sequence_; }
  const std::map<std::string, Hold>& holds() const { return holds_; }

  bool operator==(const PurseState&) const = default;

 private:
  Status check_hold(const PurseEntry& entry) const;
  Status check_after_hold(const PurseEntry& entry) const;

  MicroCredits budget_ = 0;
  MicroCredits spent_ = 0;
  MicroCredits held_ = 0;
  std::int64_t sequence_ = 0;
  std::size_t open_ = 0;
  std::map<std::string, Hold> holds_;
};

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
  // A new policy. Errors: kLimit when more is already spent or held; store's.
  Status set_budget(MicroCredits budget, UtcMillis now_ms);

  const PurseState& state() const { return state_; }
  MicroCredits available() const { return state_.available(); }

 private:
  explicit Purse(PurseStore& store) : store_(&store) {}
  Status replay();
  Status refresh();
  Status record(PurseEntry entry);

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
