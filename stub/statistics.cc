#include "stub/statistics.h"

#include <limits>

namespace icon::stub {

json::Object StubStatistics::to_json() const {
  return {{"connections", connections}, {"connections_refused", connections_refused},
          {"redirected", redirected},   {"unavailable", unavailable},
          {"rejected", rejected},       {"open", open}};
}

Result<StubStatistics> StubStatistics::from_json(const json::Object& object) {
  StubStatistics statistics;
  const std::pair<const char*, std::uint64_t*> fields[] = {
      {"connections", &statistics.connections},
      {"connections_refused", &statistics.connections_refused},
      {"redirected", &statistics.redirected},
      {"unavailable", &statistics.unavailable},
      {"rejected", &statistics.rejected},
      {"open", &statistics.open}};
  for (const auto& [name, target] : fields) {
    ICON_TRY(const auto value,
             json::get_int(object, name, 0, std::numeric_limits<std::int64_t>::max()));
    *target = static_cast<std::uint64_t>(value);
  }
  return statistics;
}

}  // namespace icon::stub
