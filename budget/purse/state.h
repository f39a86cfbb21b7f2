// The purse as a log, and what follows from it: pure, no clock, no file. Invariant I4 holds after
// every line: spent + held + shared <= budget; over a tree of purses, spent + held <= the root's.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "budget/money.h"
#include "budget/purse/kin.h"

namespace icon::budget {

inline constexpr std::size_t kHoldsOpenMax = 1024;
inline constexpr std::size_t kPurseEntriesMax = 1'000'000;
inline constexpr std::size_t kHoldIdBytesMax = 128;

// One line of the purse's log. The log is the purse: replaying it gives the state.
struct PurseEntry {
  enum class Kind {
    kBudget,  // what it may spend of its own
    kHold,
    kSettle,
    kRelease,
    kExpire,
    kRefund,
    kGrant,   // from above: total from a grantor
    kReturn,  // back up: total to an ancestor
    kShare,   // down: total to a child
    kCredit,  // back from below: total
  };
  std::int64_t sequence = 0;  // 1, 2, 3, ...
  Kind kind = Kind::kBudget;
  std::string id;           // of the hold, or whose money (kin.h); empty for kBudget
  MicroCredits amount = 0;  // the budget, what is held, what is paid or what came back; a total
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

std::string_view to_string(Hold::State state);
// Paid now plus what came back: what the settlement was.
MicroCredits settled_amount(const Hold& hold);

// Pure: what may follow what, and the sums. No clock, no file.
class PurseState {
 public:
  // Errors: kConflict (the entry contradicts what happened to its hold, or the sequence), kLimit
  // (the money is not there), kInvalid (amount or id out of range). After an error nothing changed.
  Status apply(const PurseEntry& entry);
  // The same checks without the change.
  Status check(const PurseEntry& entry) const;

  // Its own and what it was granted, less what went back up.
  MicroCredits budget() const { return cap_ + kin_.granted() - kin_.returned(); }
  MicroCredits cap() const { return cap_; }  // its own alone
  MicroCredits spent() const { return spent_; }
  MicroCredits held() const { return held_; }
  // With children: given and not come back. Theirs to spend, so gone from here.
  MicroCredits shared() const { return kin_.shared() - kin_.credited(); }
  MicroCredits available() const { return budget() - spent_ - held_ - shared(); }
  const Kin& kin() const { return kin_; }
  std::int64_t sequence() const { return sequence_; }
  const std::map<std::string, Hold>& holds() const { return holds_; }

  bool operator==(const PurseState&) const = default;

 private:
  Status check_funds(MicroCredits asked) const;
  Status check_cap(MicroCredits cap) const;
  Status check_hold(const PurseEntry& entry) const;
  Status check_after_hold(const PurseEntry& entry) const;
  void end_hold(const PurseEntry& entry);

  MicroCredits cap_ = 0;
  MicroCredits spent_ = 0;
  MicroCredits held_ = 0;
  std::int64_t sequence_ = 0;
  std::size_t open_ = 0;
  std::map<std::string, Hold> holds_;
  Kin kin_;
};

// 0, 50, 80 or 100: the highest share of the budget, in percent, that is gone or promised. What a
// person is told when it rises.
int alert_level(const PurseState& state);

}  // namespace icon::budget
