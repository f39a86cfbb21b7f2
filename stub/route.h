// Where a stub sends the users of an ICON that has moved away, or that has replicas nearer to some
// of them: one route per dialled TCP port, and one more for each network that goes elsewhere.
// Pure values; the supervisor makes them, the stub process reads them from its control socket.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/result.h"

namespace icon::stub {

inline constexpr std::size_t kRoutesMax = 4096;
inline constexpr std::size_t kHostBytesMax = 253;  // RFC 1035, section 2.3.4

struct Route {
  std::string icon;                // the ICON's id: for people and statistics
  std::uint16_t dialled_port = 0;  // the port users dial on this host
  std::string host;                // the new host: address or DNS name; empty: not known yet
  std::uint16_t port = 0;          // the port users dial there; 0 exactly when host is empty
  UtcMillis expires_ms = 0;        // the end of the stub's lease; answers are never cached beyond
  std::optional<Prefix> from =
      std::nullopt;               // only for users of this network; before those for everybody
  std::int64_t remember_s = 300;  // how long an answer may be cached: kMaxAgeSeconds at most

  json::Object to_json() const;
  // Errors: kInvalid for ports out of range and for a host that is no address and no name.
  static Result<Route> from_json(const json::Object& object);
  bool operator==(const Route&) const = default;
};

// True for an IPv4 or IPv6 address (no brackets) and for a DNS name of letters, digits, '-', '_'.
bool is_host(std::string_view text);

// The routes of one stub process, whole sets only: an update replaces everything.
class RouteTable {
 public:
  // {"routes":[..]}. Errors: kInvalid, kLimit, kConflict (two routes for one port and network).
  static Result<RouteTable> from_json(const json::Object& object);
  static Result<RouteTable> from_routes(const std::vector<Route>& routes);
  json::Object to_json() const;

  // The route for a dialled port; null when there is none or its lease has ended.
  const Route* find(std::uint16_t dialled_port, const Address& user, UtcMillis now_ms) const;
  std::size_t size() const { return routes_.size() + led_.size(); }

 private:
  std::map<std::uint16_t, Route> routes_;
  std::map<std::pair<std::uint16_t, Prefix>, Route> led_;  // of one network, /24 or /48
};

}  // namespace icon::stub
