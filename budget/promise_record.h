// What providers promised this ICON, and what it got: kept across moves, weighing in the next
// decision. Pure; the owner writes it to its disk. Formulas: docs/budget.md, Promises.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/json.h"
#include "budget/estimate.h"
#include "budget/money.h"

namespace icon::budget {

inline constexpr std::int64_t kRecordVersion = 1;
inline constexpr std::size_t kRecordProvidersMax = 64;
inline constexpr std::size_t kRecordPrefixesMax = 32;  // of a promise, and of what one delivered
inline constexpr std::size_t kRecordBytesMax = 512 << 10;
inline constexpr std::int64_t kRecordCountMax = 2'147'483'647;  // of stays, and of their weight
// Of one network, so that the sum over all of them times an RTT is a number.
inline constexpr std::int64_t kRecordConnectionsMax = 100'000'000;
// A stay counts half as much after so long.
inline constexpr std::int64_t kRecordHalfLifeMs = 7LL * 24 * 3'600'000;

// Users before a move, and what the decision for it was based on.
struct PromisedPrefix {
  Prefix prefix;
  std::int64_t connections = 0;
  std::int64_t before_us = 0;
  std::int64_t promised_us = 0;
  std::int64_t confidence = kCertain;
};

enum class PromiseState { kOpen, kKept, kBroken };
std::string_view to_string(PromiseState state);

// Of the place where the ICON is.
struct Promise {
  std::string provider_id;
  std::string provider_name;
  UtcMillis since_ms = 0;
  std::vector<PromisedPrefix> prefixes;  // empty: nobody promised anything about users
  MicroCredits price_ucredits = 0;       // of a slot
  MicroCredits paid_ucredits = 0;
  std::int64_t cpu_millis = 0;
  std::int64_t bandwidth_bps = 0;
  PromiseState state = PromiseState::kOpen;
  // Means over the promised networks that still have users, weighted by connections.
  std::int64_t before_us = 0;
  std::int64_t promised_us = 0;
  std::int64_t delivered_us = 0;  // 0: not measured yet
  // What was seen of the host.
  std::int64_t cpu_wanted_us = 0;
  std::int64_t cpu_got_us = 0;
  std::int64_t bandwidth_seen_bps = 0;
  std::int64_t up_ms = 0;
  std::int64_t down_ms = 0;
};

struct DeliveredRtt {
  std::int64_t rtt_us = 0;
  UtcMillis at_ms = 0;
};

// One provider, over all stays that are over.
struct ProviderRecord {
  std::string id;
  std::string name;
  UtcMillis last_ms = 0;
  std::int64_t stays = 0;
  std::int64_t kept = 0;
  std::int64_t broken = 0;
  std::int64_t weight = 0;  // permille of stays, decayed
  std::int64_t score = 0;   // permille of them that was kept, times weight / 1000
  Promise newest;           // as it ended; since_ms 0: none
  std::map<Prefix, DeliveredRtt> delivered;
};

// What the process saw of its host since the last look.
struct HostUse {
  std::int64_t cpu_wanted_us = 0;  // at most what the slot gives
  std::int64_t cpu_got_us = 0;
  std::int64_t bandwidth_bps = 0;
};

struct PromisePolicy {
  std::int64_t window_ms = 120'000;
  std::int64_t keep = 50;  // percent of the promised gain
};

// Owner: the agent. One thread.
class PromiseRecord {
 public:
  // The ICON has arrived with these promises. What was open is over.
  void open(Promise promise);
  // The ICON has left, or was moved without a promise of ours.
  void close(UtcMillis now_ms);
  const std::optional<Promise>& here() const { return here_; }

  // What a network's users have at `provider` now, whoever promised it.
  void saw(const std::string& provider_id, const std::string& name, const Prefix& prefix,
           std::int64_t rtt_us, UtcMillis now_ms);
  // Time that has passed here, up or down, and what was seen in it.
  void passed(std::int64_t up_ms, std::int64_t down_ms, const HostUse& use);
  void paid(MicroCredits amount);

  // After the window, once: whether the promised gain has appeared. Nothing while there is nothing
  // to say: no window yet, no promise about users, none of them measured since the arrival.
  std::optional<PromiseState> judge(const PromisePolicy& policy, UtcMillis now_ms);

  // Percent, 100 for whom nothing is known about.
  std::int64_t trust(const std::string& provider_id, UtcMillis now_ms) const;
  // What was delivered there and when; nullptr: never.
  const std::map<Prefix, DeliveredRtt>* delivered(const std::string& provider_id) const;
  const std::map<std::string, ProviderRecord>& providers() const { return providers_; }

  json::Object to_json() const;
  static Result<PromiseRecord> from_json(const json::Object& object);  // Errors: kInvalid, kLimit

 private:
  ProviderRecord& record_of(const std::string& id, const std::string& name, UtcMillis now_ms);
  void look_at_users();

  std::optional<Promise> here_;
  std::map<std::string, ProviderRecord> providers_;  // by id
};

// Permille of what was promised: RTT gain x cpu x uptime x price. Each factor 1000 when nothing can
// be said about it.
std::int64_t kept_permille(const Promise& promise);

}  // namespace icon::budget
