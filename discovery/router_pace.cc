#include "discovery/router_pace.h"

#include <algorithm>
#include <bit>

namespace icon::discovery {
namespace {

constexpr float kBurstMin = 8;
constexpr int kLossesTelling = 3;   // of the last eight, at a router that has answered
constexpr float kRepeatsMin = 1;    // per second: Linux's default
constexpr float kRepeatsFirst = 4;  // tried first
constexpr float kRateGrowth = 1.25f;
constexpr float kRateShrink = 0.5f;
constexpr float kRepeatsBurst = 1;

float refilled(float tokens, float rate, float burst, SteadyTime at, SteadyTime now) {
  const std::chrono::duration<float> passed = now - at;
  return std::min(burst, tokens + std::max(0.0f, passed.count()) * rate);
}

}  // namespace

RouterPace::RouterPace(int per_second_max, SteadyTime begin)
    : per_second_max_(static_cast<float>(per_second_max)),
      burst_(std::max(kBurstMin, per_second_max_ / 2)),
      begin_(begin) {}

RouterPace::State RouterPace::fresh() const {
  State state;
  state.budget = {burst_, per_second_max_, begin_};
  return state;
}

RouterPace::State& RouterPace::state(RouterId router) {
  if (router >= states_.size()) states_.resize(router + 1, fresh());
  return states_[router];
}

SteadyTime RouterPace::ready_at(RouterId router, bool repeated, SteadyTime now) const {
  if (router == kNoRouter || router >= states_.size()) return now;
  const State& state = states_[router];
  const auto when = [now](const Bucket& bucket, float burst) {
    const float tokens = refilled(bucket.tokens, bucket.rate, burst, bucket.at, now);
    if (tokens >= 1) return now;
    return now +
           std::chrono::duration_cast<SteadyTime::duration>(
               std::chrono::duration<float>((1 - tokens) / bucket.rate)) +
           Micros(1);
  };
  const SteadyTime ready = when(state.budget, burst_);
  return repeated && state.limiting ? std::max(ready, when(state.repeats, kRepeatsBurst)) : ready;
}

void RouterPace::sent(RouterId router, bool repeated, SteadyTime at) {
  if (router == kNoRouter) return;
  State& to = state(router);
  const auto take = [at](Bucket& bucket, float burst) {
    bucket.tokens = refilled(bucket.tokens, bucket.rate, burst, bucket.at, at) - 1;
    bucket.at = at;
  };
  take(to.budget, burst_);
  if (repeated && to.limiting) take(to.repeats, kRepeatsBurst);
  count(to, at);
}

void RouterPace::count(State& state, SteadyTime at) {
  const auto second = static_cast<std::uint32_t>(
      std::chrono::duration_cast<std::chrono::seconds>(at - begin_).count());
  if (second != state.second) state.probes_in_second = 0;
  state.second = second;
  ++state.probes;
  state.probes_per_second_max = std::max(state.probes_per_second_max, ++state.probes_in_second);
}

void RouterPace::outcome(State& state, bool lost) {
  state.losses = static_cast<std::uint8_t>(state.losses << 1 | (lost ? 1 : 0));
}

void RouterPace::answered(RouterId router, bool predicted, SteadyTime at) {
  if (router == kNoRouter) return;
  State& from = state(router);
  if (!predicted) count(from, at);
  ++from.answers;
  outcome(from, false);
  if (!from.limiting) return;
  from.repeats.rate = std::min(per_second_max_, from.repeats.rate * kRateGrowth);
  if (from.losses == 0) from.limiting = false;  // it was loss of another kind
}

void RouterPace::lost(RouterId router) {
  if (router == kNoRouter) return;
  State& from = state(router);
  outcome(from, true);
  if (from.limiting) {
    from.repeats.rate = std::max(kRepeatsMin, from.repeats.rate * kRateShrink);
  } else if (from.answers > 0 &&
             std::popcount(from.losses) >= std::max(1, kLossesTelling - limiting_seen_)) {
    if (!from.was_limiting) ++limiting_seen_;
    from.limiting = from.was_limiting = true;
    from.repeats = {0, std::min(per_second_max_, kRepeatsFirst), from.budget.at};
  }
}

bool RouterPace::queue(RouterId router, SteadyTime::duration wait) {
  State& at = state(router);
  const std::chrono::duration<float> seconds = wait;
  if (static_cast<float>(at.queued) >= std::max(1.0f, seconds.count() * at.repeats.rate))
    return false;
  ++at.queued;
  return true;
}

void RouterPace::leave_queue(RouterId router) {
  if (router != kNoRouter) --state(router).queued;
}

bool RouterPace::limits_itself(RouterId router) const {
  return router < states_.size() && states_[router].limiting;
}

RouterPace::Counts RouterPace::counts(RouterId router) const {
  if (router >= states_.size()) return {};
  const State& of = states_[router];
  return {of.probes, of.answers, of.probes_per_second_max, of.was_limiting};
}

}  // namespace icon::discovery
