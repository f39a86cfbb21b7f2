#include "stub/route.h"

#include <algorithm>
#include <limits>

#include "base/address.h"

namespace icon::stub {
namespace {

constexpr std::size_t kIconBytesMax = 64;
constexpr std::size_t kLabelBytesMax = 63;
constexpr std::int64_t kPortMax = 65535;
constexpr std::int64_t kRememberSecondsMax = 300;

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

}  // namespace

bool is_host(std::string_view text) {
  if (text.empty() || text.size() > kHostBytesMax) return false;
  if (Address::parse(text)) return true;
  std::size_t label_bytes = 0;
  bool digits_only = true;  // "10.1" or "2130706433": some clients read such a name as an address
  for (const char c : text) {
    if (c == '.') {
      if (label_bytes == 0) return false;
      label_bytes = 0;
      continue;
    }
    if (!is_name_character(c) || ++label_bytes > kLabelBytesMax) return false;
    digits_only = digits_only && c >= '0' && c <= '9';
  }
  return label_bytes > 0 && !digits_only;
}

json::Object Route::to_json() const {
  return {{"icon", icon},
          {"dialled_port", dialled_port},
          {"host", host},
          {"port", port},
          {"expires_ms", expires_ms},
          {"from", from ? json::Value(from->to_string()) : json::Value(nullptr)},
          {"remember_s", remember_s}};
}

Result<Route> Route::from_json(const json::Object& object) {
  Route route;
  ICON_TRY(route.icon, json::get_string_or(object, "icon", "", kIconBytesMax));
  ICON_TRY(const auto dialled, json::get_int(object, "dialled_port", 1, kPortMax));
  ICON_TRY(route.host, json::get_string_or(object, "host", "", kHostBytesMax));
  ICON_TRY(const auto port, json::get_int_or(object, "port", 0, 0, kPortMax));
  ICON_TRY(route.expires_ms,
           json::get_int(object, "expires_ms", 0, std::numeric_limits<std::int64_t>::max()));
  if (const auto* from = object.if_contains("from"); from != nullptr && !from->is_null()) {
    ICON_TRY(const auto text, json::get_string(object, "from", kLabelBytesMax));
    ICON_TRY(route.from, Prefix::parse(text));
    if (*route.from != Prefix::of_user(route.from->address))
      return fail(Code::kInvalid, "a route is for a /24 or /48, or for everybody");
  }
  ICON_TRY(route.remember_s,
           json::get_int_or(object, "remember_s", kRememberSecondsMax, 0, kRememberSecondsMax));
  route.dialled_port = static_cast<std::uint16_t>(dialled);
  route.port = static_cast<std::uint16_t>(port);
  if (route.host.empty() != (route.port == 0))
    return fail(Code::kInvalid, "a route needs both a host and a port, or neither");
  if (!route.host.empty() && !is_host(route.host))
    return fail(Code::kInvalid, "a route's host is neither an address nor a DNS name");
  return route;
}

Result<RouteTable> RouteTable::from_json(const json::Object& object) {
  ICON_TRY(const auto* array, json::get_array(object, "routes", kRoutesMax));
  std::vector<Route> routes;
  for (const auto& value : *array) {
    if (!value.is_object()) return fail(Code::kInvalid, "a route is not an object");
    ICON_TRY(Route route, Route::from_json(value.get_object()));
    routes.push_back(std::move(route));
  }
  return from_routes(routes);
}

Result<RouteTable> RouteTable::from_routes(const std::vector<Route>& routes) {
  if (routes.size() > kRoutesMax)
    return fail(Code::kLimit, "more than " + std::to_string(kRoutesMax) + " routes");
  RouteTable table;
  for (const auto& route : routes) {
    const bool added =
        route.from ? table.led_.emplace(std::pair(route.dialled_port, *route.from), route).second
                   : table.routes_.emplace(route.dialled_port, route).second;
    if (!added)
      return fail(Code::kConflict, "two routes for port " + std::to_string(route.dialled_port));
  }
  return table;
}

json::Object RouteTable::to_json() const {
  json::Array array;
  for (const auto& [port, route] : routes_) array.push_back(route.to_json());
  for (const auto& [key, route] : led_) array.push_back(route.to_json());
  return {{"routes", std::move(array)}};
}

const Route* RouteTable::find(std::uint16_t dialled_port, const Address& user,
                              UtcMillis now_ms) const {
  const auto led = led_.find({dialled_port, Prefix::of_user(user)});
  if (led != led_.end() && led->second.expires_ms > now_ms) return &led->second;
  const auto found = routes_.find(dialled_port);
  if (found == routes_.end() || found->second.expires_ms <= now_ms) return nullptr;
  return &found->second;
}

}  // namespace icon::stub
