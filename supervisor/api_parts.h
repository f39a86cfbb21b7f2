// What the API handlers share: results as responses, and the reading of common fields.
#pragma once

#include <boost/json/serialize.hpp>
#include <functional>
#include <string>
#include <utility>

#include "base/http_server.h"
#include "base/json.h"
#include "base/result.h"
#include "wire/envelope.h"

namespace icon::supervisor {

inline constexpr const char* kVersion = "0.1.0";
inline constexpr std::size_t kRequestBytesMax = 4 << 20;
inline constexpr std::size_t kLeaseDocumentsMax = 2'000;  // of one lease

using Answer = std::function<Task<Result<json::Value>>(http::Request)>;

// A handler that answers `status` with the value (204: without), or the error as docs/api.md says.
inline http::Handler answering(int status, Answer answer) {
  return [status, answer = std::move(answer)](http::Request request) -> Task<http::Response> {
    auto result = co_await answer(std::move(request));
    if (!result) co_return http::error_response(result.error());
    if (status == 204) co_return http::Response{204, "application/json", ""};
    co_return http::json_response(status, *result);
  };
}

inline Result<json::Object> body_of(const http::Request& request) {
  return json::parse_object(request.body, kRequestBytesMax);
}

inline Result<wire::Envelope> get_envelope(const json::Object& object, std::string_view key) {
  ICON_TRY(const auto* envelope, json::get_object(object, key));
  return wire::parse_envelope(json::Value(*envelope));
}

// ?key=123. Errors: kInvalid.
Result<std::int64_t> query_int(const http::Request& request, const std::string& key,
                               std::int64_t fallback, std::int64_t min, std::int64_t max);

// Lines of a log that a container writes: at most `count` last ones, then, when `follow`, the new
// ones until the listener goes.
Task<void> stream_log(const std::string& directory, const std::string& name, std::size_t count,
                      bool follow, http::LineWriter& lines);

struct Host;
struct IconRecord;
// The topic on which a running ICON's agent listens, once it does: after a start or a move it needs
// a moment to come. Errors: kConflict (the ICON does not run), kUnavailable.
Task<Result<std::string>> agent_topic(Host& host, IconRecord icon);

// New ICONs: part of add_host_routes().
void add_run_routes(http::Router& router, Host& host);
void add_adopt_routes(http::Router& router, Host& host);
// Sales by sealed bids: part of the three.
void add_sale_peer_routes(http::Router& router, Host& host);
void add_sale_icon_routes(http::Router& router, Host& host);
void add_sale_host_routes(http::Router& router, Host& host);
// Leases: part of add_icon_routes().
void add_lease_routes(http::Router& router, Host& host);
// What an ICON knows of the way to its users: the agent's side, part of add_icon_routes(), and the
// operator's.
void add_map_route(http::Router& router, Host& host);
void add_map_reader(http::Router& router, Host& host);

// Cordons and plans: the operator's side, part of add_host_routes(), and the agent's.
void add_brake_routes(http::Router& router, Host& host);
void add_plan_route(http::Router& router, Host& host);
// null, or since when the host is cordoned, and why.
Result<json::Value> cordon_of(Host& host);

// Prometheus text.
Task<std::string> render_metrics(Host& host);

}  // namespace icon::supervisor
