// What an ICON knows of the network between its place and its users: its agent tells the supervisor
// (PUT /v1/self/map), and `icon path` draws it. Nothing here is proven: names are what strangers'
// zones say. Bounded on both sides.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/result.h"

namespace icon::wire {

inline constexpr std::size_t kMapBytesMax = 512 << 10;
inline constexpr std::size_t kMapPathsMax = 256;
inline constexpr std::size_t kMapRoutersMax = 4'096;
inline constexpr std::size_t kMapHopsMax = 64;
inline constexpr std::size_t kMapBesideMax = 4;
inline constexpr std::size_t kMapProvidersMax = 64;
inline constexpr std::size_t kMapEstimatesMax = 8;  // of one path
inline constexpr std::size_t kMapNameBytesMax = 255;
inline constexpr std::size_t kMapTextBytesMax = 400;

struct MapRouter {
  Address address;
  std::string name;                  // PTR; empty: none
  std::string domain;                // its registrable domain
  std::int64_t rtt_us = 0;           // from the ICON's place; 0: not known
  bool balanced = false;             // takes turns with others on some path
  std::vector<Address> beside = {};  // these, as far as they are known
};

struct MapHop {
  std::int64_t router = -1;  // place in NetworkMap::routers; -1: silent
  bool inferred = false;     // seen by another trace, between the same hops
  int back_hops = 0;         // by which its answer came; 0: not known
};

struct MapProvider {
  std::string name;
  std::string id;  // empty: any key may answer
  std::string domain;
  std::string source;   // "dns", "configured", "operator", "previous"
  std::string state;    // "here", "offered", "rejected", "unreachable", "known"
  std::string reason;   // why it was rejected
  std::string message;  // the same for people
  std::optional<std::int64_t> price_ucredits;
};

// How far the users of a path would be from a provider.
struct MapEstimate {
  std::size_t provider = 0;  // place in NetworkMap::providers
  int on_path_ttl = 0;       // the first hop of its domain; 0: not on this path
  std::optional<std::int64_t> rtt_us;
  std::int64_t confidence = 0;  // percent
  std::string basis;            // of the estimate, as in a decision's evidence
};

struct MapPath {
  Prefix prefix;
  std::int64_t connections = 0;
  std::int64_t rtt_us = 0;  // of the users, from the ICON's place; 0: not measured
  // Absent: not traced. Then what follows is empty, too.
  std::optional<Address> target;
  std::string method;
  bool reached = false;
  std::int64_t target_rtt_us = 0;
  int target_back_hops = 0;
  std::string note;                         // why the trace ended early
  std::vector<MapHop> hops = {};            // by TTL, from 1, without the target
  std::vector<MapEstimate> estimates = {};  // those on the path by TTL, then the nearest
};

struct NetworkMap {
  UtcMillis seen_ms = 0;
  UtcMillis traced_ms = 0;  // 0: never from this place
  std::string here_name;
  std::string here_id;
  std::int64_t objective_us = 0;
  std::int64_t prefixes_total = 0;  // with users; `paths` has those with most weight
  std::vector<MapRouter> routers;
  std::vector<MapProvider> providers;
  std::vector<MapPath> paths;

  json::Object to_json() const;
  // Errors: kInvalid, kLimit.
  static Result<NetworkMap> from_json(const json::Object& object);
};

}  // namespace icon::wire
