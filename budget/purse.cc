#include "budget/purse.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/assert.h"

namespace icon::budget {
namespace {

using Kind = PurseEntry::Kind;

constexpr std::array<std::pair<Kind, std::string_view>, 6> kKinds{{
    {Kind::kBudget, "budget"},
    {Kind::kHold, "hold"},
    {Kind::kSettle, "settle"},
    {Kind::kRelease, "release"},
    {Kind::kExpire, "expire"},
    {Kind::kRefund, "refund"},
}};

std::string_view to_string(Hold::State state) {
  switch (state) {
    case Hold::State::kHeld:
      return "held";
    case Hold::State::kSettled:
      return "settled";
    case Hold::State::kReleased:
      return "released";
    case Hold::State::kExpired:
      return "expired";
  }
  return "unknown";
}

tl::unexpected<Error> conflict(const std::string& id, std::string_view what) {
  return fail(Code::kConflict, fmt::format("purse: '{}' {}", id, what));
}

tl::unexpected<Error> is_already(const std::string& id, const Hold& hold) {
  return conflict(id, fmt::format("is already {}", to_string(hold.state)));
}

Status check_amount(MicroCredits amount) {
  if (amount < 0 || amount > kMicroCreditsMax)
    return fail(Code::kInvalid, fmt::format("purse: {} is no amount", amount));
  return {};
}

// Paid now plus what came back: what the settlement was.
MicroCredits settled_amount(const Hold& hold) { return hold.paid + hold.refunded; }

}  // namespace

std::string_view to_string(Kind kind) {
  for (const auto& [value, name] : kKinds)
    if (value == kind) return name;
  return "unknown";
}

Result<Kind> purse_entry_kind(std::string_view name) {
  for (const auto& [value, text] : kKinds)
    if (text == name) return value;
  return fail(Code::kInvalid, "purse: no entry is called '" + std::string(name) + "'");
}

Status PurseState::check_hold(const PurseEntry& entry) const {
  if (entry.id.empty() || entry.id.size() > kHoldIdBytesMax)
    return fail(Code::kInvalid, "purse: a hold's id has 1 to 128 bytes");
  if (const auto known = holds_.find(entry.id); known != holds_.end())
    return is_already(entry.id, known->second);
  if (open_ >= kHoldsOpenMax)
    return fail(Code::kLimit, fmt::format("purse: {} holds are open at once", open_));
  if (entry.amount > available())
    return fail(Code::kLimit,
                fmt::format("purse: {} credits asked, {} of {} left", format_credits(entry.amount),
                            format_credits(available()), format_credits(budget_)));
  return {};
}

Status PurseState::check_after_hold(const PurseEntry& entry) const {
  const auto found = holds_.find(entry.id);
  if (found == holds_.end()) return fail(Code::kNotFound, "purse: no hold '" + entry.id + "'");
  const Hold& hold = found->second;
  if (entry.kind == Kind::kRefund) {
    if (hold.state != Hold::State::kSettled) return conflict(entry.id, "is not settled");
    if (entry.amount < hold.refunded) return conflict(entry.id, "has already got more back");
    if (entry.amount > settled_amount(hold))
      return fail(Code::kLimit, "purse: '" + entry.id + "' gets more back than was paid");
    return {};
  }
  if (hold.state != Hold::State::kHeld) return is_already(entry.id, hold);
  if (entry.kind == Kind::kSettle && entry.amount > hold.amount)
    return fail(Code::kLimit,
                fmt::format("purse: '{}' costs {} credits, but {} are held", entry.id,
                            format_credits(entry.amount), format_credits(hold.amount)));
  return {};
}

Status PurseState::check(const PurseEntry& entry) const {
  if (entry.sequence != sequence_ + 1)
    return fail(Code::kConflict,
                fmt::format("purse: entry {} does not follow entry {}", entry.sequence, sequence_));
  // The first line says how much there is.
  if (sequence_ == 0 && entry.kind != Kind::kBudget)
    return fail(Code::kConflict, "purse: the log does not begin with a budget");
  ICON_CHECK(check_amount(entry.amount));
  switch (entry.kind) {
    case Kind::kBudget:
      if (entry.amount < spent_ + held_)
        return fail(Code::kLimit,
                    fmt::format("purse: a budget of {} credits, but {} are already "
                                "spent or held",
                                format_credits(entry.amount), format_credits(spent_ + held_)));
      return {};
    case Kind::kHold:
      return check_hold(entry);
    case Kind::kSettle:
    case Kind::kRelease:
    case Kind::kExpire:
    case Kind::kRefund:
      return check_after_hold(entry);
  }
  return fail(Code::kInvalid, "purse: an entry of no known kind");
}

Status PurseState::apply(const PurseEntry& entry) {
  ICON_CHECK(check(entry));
  sequence_ = entry.sequence;
  if (entry.kind == Kind::kBudget) {
    budget_ = entry.amount;
  } else if (entry.kind == Kind::kHold) {
    holds_[entry.id] = {Hold::State::kHeld, entry.amount, 0, 0, entry.expires_ms};
    held_ += entry.amount;
    ++open_;
  } else if (entry.kind == Kind::kRefund) {
    Hold& hold = holds_[entry.id];
    const MicroCredits back = entry.amount - hold.refunded;
    hold.refunded += back;
    hold.paid -= back;
    spent_ -= back;
  } else {
    Hold& hold = holds_[entry.id];
    held_ -= hold.amount;
    --open_;
    hold.state = entry.kind == Kind::kSettle    ? Hold::State::kSettled
                 : entry.kind == Kind::kRelease ? Hold::State::kReleased
                                                : Hold::State::kExpired;
    if (entry.kind == Kind::kSettle) {
      hold.paid = entry.amount;
      spent_ += entry.amount;
    }
  }
  ICON_ASSERT(spent_ >= 0 && held_ >= 0 && spent_ + held_ <= budget_);
  return {};
}

Result<Purse> Purse::create(PurseStore& store, MicroCredits budget, UtcMillis now_ms) {
  ICON_TRY(const auto entries, store.load());
  if (!entries.empty()) return fail(Code::kConflict, "purse: there is one already");
  Purse purse(store);
  ICON_CHECK(purse.record({0, Kind::kBudget, {}, budget, now_ms, 0}));
  return purse;
}

Result<Purse> Purse::open(PurseStore& store) {
  Purse purse(store);
  ICON_CHECK(purse.replay());
  return purse;
}

Status Purse::replay() {
  ICON_TRY(const auto entries, store_->load());
  if (entries.empty()) return fail(Code::kNotFound, "purse: the log is empty");
  PurseState state;
  for (const auto& entry : entries)
    if (const auto applied = state.apply(entry); !applied)
      return fail(Code::kInvalid, "purse: the log contradicts itself at entry " +
                                      std::to_string(entry.sequence) + ": " +
                                      applied.error().message);
  state_ = std::move(state);
  return {};
}

Status Purse::refresh() {
  if (!stale_) return {};
  ICON_CHECK(replay());
  stale_ = false;
  return {};
}

// Checked, then durable, then visible: a crash in between leaves the log as the truth.
Status Purse::record(PurseEntry entry) {
  entry.sequence = state_.sequence() + 1;
  ICON_CHECK(state_.check(entry));
  if (state_.sequence() >= static_cast<std::int64_t>(kPurseEntriesMax))
    return fail(Code::kLimit, "purse: the log is full");
  if (const auto appended = store_->append(entry); !appended) {
    stale_ = true;
    return fail(appended.error());
  }
  const auto applied = state_.apply(entry);
  ICON_ASSERT(applied);
  return {};
}

Status Purse::hold(const std::string& id, MicroCredits amount, UtcMillis expires_ms,
                   UtcMillis now_ms) {
  ICON_CHECK(refresh());
  const auto& holds = state_.holds();
  if (const auto known = holds.find(id); known != holds.end()) {
    const Hold& hold = known->second;
    if (hold.state != Hold::State::kHeld) return is_already(id, hold);
    if (hold.amount != amount || hold.expires_ms != expires_ms)
      return conflict(id, "is already held with other terms");
    return {};
  }
  if (expires_ms <= now_ms) return fail(Code::kExpired, "purse: a hold that is already over");
  return record({0, Kind::kHold, id, amount, now_ms, expires_ms});
}

Status Purse::settle(const std::string& id, MicroCredits amount, UtcMillis now_ms) {
  ICON_CHECK(refresh());
  const auto& holds = state_.holds();
  if (const auto known = holds.find(id);
      known != holds.end() && known->second.state == Hold::State::kSettled) {
    if (settled_amount(known->second) == amount) return {};
    return conflict(id, "is already settled with another amount");
  }
  return record({0, Kind::kSettle, id, amount, now_ms, 0});
}

Status Purse::release(const std::string& id, UtcMillis now_ms) {
  ICON_CHECK(refresh());
  const auto& holds = state_.holds();
  if (const auto known = holds.find(id);
      known != holds.end() && (known->second.state == Hold::State::kReleased ||
                               known->second.state == Hold::State::kExpired))
    return {};
  return record({0, Kind::kRelease, id, 0, now_ms, 0});
}

Status Purse::refund(const std::string& id, MicroCredits amount, UtcMillis now_ms) {
  ICON_CHECK(refresh());
  const auto& holds = state_.holds();
  if (const auto known = holds.find(id); known != holds.end() &&
                                         known->second.state == Hold::State::kSettled &&
                                         known->second.refunded == amount)
    return {};
  return record({0, Kind::kRefund, id, amount, now_ms, 0});
}

Result<int> Purse::expire(UtcMillis now_ms) {
  ICON_CHECK(refresh());
  std::vector<std::string> over;
  for (const auto& [id, hold] : state_.holds())
    if (hold.state == Hold::State::kHeld && hold.expires_ms <= now_ms) over.push_back(id);
  for (const auto& id : over) ICON_CHECK(record({0, Kind::kExpire, id, 0, now_ms, 0}));
  return static_cast<int>(over.size());
}

Status Purse::set_budget(MicroCredits budget, UtcMillis now_ms) {
  ICON_CHECK(refresh());
  if (state_.budget() == budget) return {};
  return record({0, Kind::kBudget, {}, budget, now_ms, 0});
}

Status MemoryPurseStore::append(const PurseEntry& entry) {
  const auto told = std::exchange(fail_next_, Fail::kNo);
  if (told == Fail::kBefore) return fail(Code::kIo, "purse store: told to fail");
  if (entry.sequence != static_cast<std::int64_t>(entries_.size()) + 1)
    return fail(Code::kConflict, "purse store: somebody else wrote");
  entries_.push_back(entry);
  if (told == Fail::kAfter) return fail(Code::kIo, "purse store: told to fail after the write");
  return {};
}

}  // namespace icon::budget
