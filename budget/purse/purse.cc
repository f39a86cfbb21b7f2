#include "budget/purse/purse.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/assert.h"

namespace icon::budget {
namespace {

using Kind = PurseEntry::Kind;

tl::unexpected<Error> conflict(const std::string& id, std::string_view what) {
  return fail(Code::kConflict, fmt::format("purse: '{}' {}", id, what));
}

tl::unexpected<Error> is_already(const std::string& id, const Hold& hold) {
  return conflict(id, fmt::format("is already {}", to_string(hold.state)));
}

}  // namespace

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
  if (state_.cap() == budget) return {};
  return record({0, Kind::kBudget, {}, budget, now_ms, 0});
}

// Known already, or an older total that came late: nothing to do.
Status Purse::raise(PurseEntry entry) {
  ICON_CHECK(refresh());
  entry.sequence = state_.sequence() + 1;
  if (const auto checked = state_.check(entry); !checked) {
    if (checked.error().code == Code::kConflict) return {};
    return fail(checked.error());
  }
  return record(std::move(entry));
}

Status Purse::share(const std::string& child, MicroCredits total, UtcMillis now_ms) {
  return raise({0, Kind::kShare, child, total, now_ms, 0});
}

Status Purse::grant(const std::string& grantor, MicroCredits total, UtcMillis now_ms) {
  return raise({0, Kind::kGrant, grantor, total, now_ms, 0});
}

Status Purse::give_back(const Return& what, MicroCredits total, UtcMillis now_ms) {
  return raise({0, Kind::kReturn, to_id(what), total, now_ms, 0});
}

Status Purse::credit(const Credit& what, MicroCredits total, UtcMillis now_ms) {
  return raise({0, Kind::kCredit, to_id(what), total, now_ms, 0});
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
