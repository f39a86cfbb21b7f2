// What the agent tells about the network between here and its users, for `icon path`: the paths as
// traced, the providers on them and elsewhere, and how near each would be. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "agent/decide.h"
#include "agent/latency_table.h"
#include "discovery/discovery.h"
#include "wire/network_map.h"

namespace icon::agent {

// The traced part: routers with their names, and a path for each of `prefixes` that has one. Texts
// are made fit for the map's limits.
wire::NetworkMap traced_map(const discovery::DiscoveryReport& report,
                            std::span<const Prefix> prefixes, UtcMillis now_ms);

struct MapInput {
  const wire::NetworkMap& traced;
  const std::vector<PrefixLatency>& users;  // most weight first
  const Observations& seen;
  // The estimates of seen.providers for seen.prefixes, in their order; empty when nobody was asked.
  std::span<const budget::Candidate> candidates;
  std::int64_t prefixes_total = 0;  // with users
  std::int64_t objective_us = 0;
  UtcMillis now_ms = 0;
};
// Of many prefixes those with most weight.
wire::NetworkMap network_map(const MapInput& input);

// Its JSON, with as many paths as fit into wire::kMapBytesMax.
json::Object map_json(wire::NetworkMap map);

}  // namespace icon::agent
