#include "budget/purse/state.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "base/assert.h"

namespace icon::budget {
namespace {

using Kind = PurseEntry::Kind;

constexpr std::array<std::pair<Kind, std::string_view>, 10> kKinds{{
    {Kind::kBudget, "budget"},
    {Kind::kHold, "hold"},
    {Kind::kSettle, "settle"},
    {Kind::kRelease, "release"},
    {Kind::kExpire, "expire"},
    {Kind::kRefund, "refund"},
    {Kind::kGrant, "grant"},
    {Kind::kReturn, "return"},
    {Kind::kShare, "share"},
    {Kind::kCredit, "credit"},
}};

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

}  // namespace

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

MicroCredits settled_amount(const Hold& hold) { return hold.paid + hold.refunded; }

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

Status PurseState::check_funds(MicroCredits asked) const {
  if (asked <= available()) return {};
  return fail(Code::kLimit,
              fmt::format("purse: {} credits asked, {} of {} left", format_credits(asked),
                          format_credits(available()), format_credits(budget())));
}

Status PurseState::check_cap(MicroCredits cap) const {
  const auto gone = spent_ + held_ + shared() - (budget() - cap_);  // of its own
  if (cap >= gone) return {};
  return fail(Code::kLimit,
              fmt::format("purse: a budget of {} credits, but {} are already spent or held",
                          format_credits(cap), format_credits(gone)));
}

Status PurseState::check_hold(const PurseEntry& entry) const {
  if (entry.id.empty() || entry.id.size() > kHoldIdBytesMax)
    return fail(Code::kInvalid, "purse: a hold's id has 1 to 128 bytes");
  if (const auto known = holds_.find(entry.id); known != holds_.end())
    return is_already(entry.id, known->second);
  if (open_ >= kHoldsOpenMax)
    return fail(Code::kLimit, fmt::format("purse: {} holds are open at once", open_));
  return check_funds(entry.amount);
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
      return check_cap(entry.amount);
    case Kind::kHold:
      return check_hold(entry);
    case Kind::kSettle:
    case Kind::kRelease:
    case Kind::kExpire:
    case Kind::kRefund:
      return check_after_hold(entry);
    case Kind::kGrant: {
      ICON_TRY(const auto more, kin_.more_granted(entry.id, entry.amount));
      if (more > kMicroCreditsMax - budget())
        return fail(Code::kLimit, "purse: more money than there can be");
      return {};
    }
    case Kind::kReturn: {
      ICON_TRY(const auto more, kin_.more_returned(entry.id, entry.amount));
      return check_funds(more);
    }
    case Kind::kShare: {
      ICON_TRY(const auto more, kin_.more_shared(entry.id, entry.amount));
      return check_funds(more);
    }
    case Kind::kCredit: {
      ICON_TRY([[maybe_unused]] const auto more, kin_.more_credited(entry.id, entry.amount));
      return {};
    }
  }
  return fail(Code::kInvalid, "purse: an entry of no known kind");
}

Status PurseState::apply(const PurseEntry& entry) {
  ICON_CHECK(check(entry));
  sequence_ = entry.sequence;
  switch (entry.kind) {
    case Kind::kBudget:
      cap_ = entry.amount;
      break;
    case Kind::kHold:
      holds_[entry.id] = {Hold::State::kHeld, entry.amount, 0, 0, entry.expires_ms};
      held_ += entry.amount;
      ++open_;
      break;
    case Kind::kRefund: {
      Hold& hold = holds_[entry.id];
      const MicroCredits back = entry.amount - hold.refunded;
      hold.refunded += back;
      hold.paid -= back;
      spent_ -= back;
      break;
    }
    case Kind::kSettle:
    case Kind::kRelease:
    case Kind::kExpire:
      end_hold(entry);
      break;
    case Kind::kGrant:
      kin_.set_granted(entry.id, entry.amount);
      break;
    case Kind::kReturn:
      kin_.set_returned(entry.id, entry.amount);
      break;
    case Kind::kShare:
      kin_.set_shared(entry.id, entry.amount);
      break;
    case Kind::kCredit:
      kin_.set_credited(entry.id, entry.amount);
      break;
  }
  ICON_ASSERT(spent_ >= 0 && held_ >= 0 && shared() >= 0 && available() >= 0);
  return {};
}

void PurseState::end_hold(const PurseEntry& entry) {
  Hold& hold = holds_[entry.id];
  held_ -= hold.amount;
  --open_;
  hold.state = entry.kind == Kind::kSettle    ? Hold::State::kSettled
               : entry.kind == Kind::kRelease ? Hold::State::kReleased
                                              : Hold::State::kExpired;
  if (entry.kind != Kind::kSettle) return;
  hold.paid = entry.amount;
  spent_ += entry.amount;
}

int alert_level(const PurseState& state) {
  const auto gone = state.budget() - state.available();
  for (const int level : {100, 80, 50})
    // Up to 10^15 * 100: fits.
    if (gone > 0 && gone * 100 >= state.budget() * level) return level;
  return 0;
}

}  // namespace icon::budget
