// What an agent tells about the network: a map within its limits whose places exist, or an error.
#include <boost/json/serialize.hpp>

#include "tests/fuzz/fuzz_target.h"
#include "wire/network_map.h"

namespace icon::wire {

ICON_FUZZ_TARGET(network_map) {
  const auto object = json::parse_object(input, kMapBytesMax);
  if (!object) return;
  const auto map = NetworkMap::from_json(*object);
  if (!map) return;
  ICON_FUZZ_REQUIRE(map->paths.size() <= kMapPathsMax && map->routers.size() <= kMapRoutersMax &&
                    map->providers.size() <= kMapProvidersMax);
  for (const auto& path : map->paths) {
    ICON_FUZZ_REQUIRE(path.hops.size() <= kMapHopsMax && path.estimates.size() <= kMapEstimatesMax);
    for (const auto& hop : path.hops)
      ICON_FUZZ_REQUIRE(hop.router >= -1 &&
                        hop.router < static_cast<std::int64_t>(map->routers.size()));
    for (const auto& estimate : path.estimates)
      ICON_FUZZ_REQUIRE(estimate.provider < map->providers.size());
  }
  // What is kept is what was read.
  const auto again = NetworkMap::from_json(map->to_json());
  ICON_FUZZ_REQUIRE(again && again->to_json() == map->to_json());
}

}  // namespace icon::wire
