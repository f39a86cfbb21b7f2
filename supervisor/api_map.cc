// The map behind `icon path`: an agent leaves it here, checked, and whoever operates the host reads
// it. Kept in memory: the agent sends a new one with every decision.
#include <boost/json/serialize.hpp>

#include "supervisor/api_parts.h"
#include "supervisor/host.h"
#include "wire/network_map.h"

namespace icon::supervisor {
namespace {

Result<json::Value> note_map(Host& host, const http::Request& request) {
  if (request.body.size() > wire::kMapBytesMax)
    return fail(Code::kLimit, "the map is larger than 512 KiB");
  ICON_TRY(const auto body, body_of(request));
  ICON_TRY(const auto map, wire::NetworkMap::from_json(body));
  ICON_TRY(const auto icon, host.journal->find_icon(request.icon_id));
  if (!icon) return fail(Code::kNotFound, "this host does not know ICON " + request.icon_id);
  // What was read, not what was sent: nothing unknown is kept.
  host.icons->set_map(request.icon_id, boost::json::serialize(map.to_json()));
  return json::Value();
}

Task<http::Response> read_map(Host& host, http::Request request) {
  const auto icon = host.icons->find(request.params["id"]);
  if (!icon) co_return http::error_response(icon.error());
  const std::string& text = host.icons->map(icon->id);
  if (text.empty()) {
    const Error none{Code::kNotFound, "ICON " + icon->name + " has told no map here yet"};
    co_return http::error_response(none);
  }
  http::Response response{200, "application/json", text + "\n"};
  co_return response;
}

}  // namespace

const std::string& Icons::map(const std::string& icon_id) const {
  static const std::string nothing;
  const auto found = maps_.find(icon_id);
  return found == maps_.end() ? nothing : found->second;
}

void add_map_route(http::Router& router, Host& host) {
  router.on("PUT", "/v1/self/map",
            answering(204, [&host](http::Request request) -> Task<Result<json::Value>> {
              co_return note_map(host, request);
            }));
}

void add_map_reader(http::Router& router, Host& host) {
  router.on("GET", "/v1/icons/{id}/map",
            [&host](http::Request request) { return read_map(host, std::move(request)); });
}

}  // namespace icon::supervisor
