// The end of a replica: its users led away and waited for, its purse given back, its last word.
#include <algorithm>

#include "agent/kinship.h"
#include "base/log.h"

namespace icon::agent {
namespace {

constexpr Millis kAnswerMax{10'000};  // then it is said for the last time
constexpr Millis kLook{250};          // whether the users have left

}  // namespace

Task<bool> Kinship::until_acknowledged(wire::KinReport::State state,
                                       std::vector<wire::Envelope> beside) {
  const auto deadline = parts_.clock.steady() + kAnswerMax;
  UtcMillis first = 0;
  // Also to one that was silent for long: it may hear us all the same.
  while (parts_.clock.steady() < deadline) {
    const auto said = co_await report(state, beside);
    if (said && first == 0) first = last_issued_ms_;
    if (first != 0 && family_.elders().acknowledged_ms >= first) co_return true;
    co_await pause(kLook);
    if (first != 0 && family_.elders().acknowledged_ms >= first) co_return true;
  }
  co_return false;
}

Task<void> Kinship::until_users_left() {
  const auto begin = parts_.clock.steady();
  const Millis longest(parts_.policy.replicate.drain_ms);
  // Who remembers that he was led here still comes.
  const Millis remembered(parts_.policy.replicate.remember_ms);
  for (;;) {
    const auto waited = parts_.clock.steady() - begin;
    if (const auto dumped = parts_.monitor.dump_now(); !dumped) note("users_unseen", dumped);
    std::int64_t open = 0;
    for (const auto& seen : parts_.table.snapshot()) open += seen.connections;
    if ((open == 0 && waited >= remembered) || waited >= std::max(longest, remembered)) {
      log::info("kin.drained", {{"still_open", open}});
      co_return;
    }
    co_await pause(kLook);
  }
}

// What is left of the parent's share, in its hands before we end.
std::vector<wire::Envelope> Kinship::rest_of_purse() {
  const auto& share = family_.elders().share;
  if (!parts_.wallet || !share) return {};
  const auto granted = wire::open<wire::Share>(*share);
  if (!granted) return {};
  auto rest =
      parts_.wallet->return_rest(*parts_.identity.key, lineage(), granted->parent,
                                 family_.elders().above.front().icon, parts_.clock.utc_ms());
  if (!rest) {
    note("return", fail(rest.error()));
    return {};
  }
  if (parts_.chronicle) note("ledger", parts_.chronicle->record(*rest));
  return {std::move(*rest)};
}

Task<void> Kinship::lead_away_task() {
  using State = wire::KinReport::State;
  const bool has_parent = !family_.elders().above.empty() && family_.elders().heard_ms > 0;
  if (has_parent) {
    // The parent leads nobody here any more, before we lead everybody there: not in a circle.
    const bool agreed = co_await until_acknowledged(State::kDraining, {});
    log::info("kin.draining", {{"agreed", agreed}});
    leads_everybody_ = !orphan_;
    co_await guide();
  }
  co_await until_users_left();
  if (has_parent) {
    // No other report may be later than the last one: it would be acknowledged in its place.
    ending_ = true;
    const auto rest = rest_of_purse();
    const bool taken = co_await until_acknowledged(State::kEnded, rest);
    log::info("kin.ended", {{"taken", taken}});
  }
  parts_.later(event::ConnectionsGone{});
}

}  // namespace icon::agent
