// Rounds, as far as they tell people what was seen: the map behind `icon path`.
#include "agent/map_report.h"
#include "agent/rounds.h"
#include "base/log.h"

namespace icon::agent {

void Rounds::tell_map(const Observations& seen, std::span<const budget::Candidate> candidates) {
  // One at a time: the next round has newer figures.
  if (!self_ || telling_map_) return;
  telling_map_ = true;
  const MapInput input{survey_.traced(),
                       users_,
                       seen,
                       candidates,
                       static_cast<std::int64_t>(table_.prefix_count()),
                       options_.policy.objective_us,
                       clock_.utc_ms()};
  tasks_.spawn("map", send_map(map_json(network_map(input))));
}

Task<void> Rounds::send_map(json::Object map) {
  // However this ends, also by a cancellation.
  const struct Done {
    bool& telling;
    ~Done() { telling = false; }
  } done{telling_map_};
  const auto status = co_await link_.put_map(std::move(map));
  if (!status) log::debug("map.not_sent", {{"message", status.error().message}});
}

}  // namespace icon::agent
