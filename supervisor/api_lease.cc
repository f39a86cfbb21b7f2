// The slots of an ICON as its agent sees them through its host: the one it runs in, and the papers
// of those that it left.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "base/log.h"
#include "supervisor/api.h"
#include "supervisor/api_parts.h"
#include "supervisor/host.h"
#include "supervisor/move_parts.h"
#include "wire/tenancy.h"

namespace icon::supervisor {
namespace {

constexpr Millis kPeerConnect{3'000};
constexpr Millis kPeerAnswer{10'000};
constexpr std::size_t kPapersBytesMax = 1 << 20;
constexpr std::size_t kLeaseIdBytesMax = 64;
constexpr std::string_view kTokenLetters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

// Papers of the slot that the ICON runs in, and what `seconds` more would cost now (null: they
// are not for sale).
Result<json::Value> describe_lease(Host& host, http::Request request) {
  ICON_TRY(const auto icon, host.journal->find_icon(request.icon_id));
  if (!icon || icon->lease_id.empty())
    return fail(Code::kNotFound, "this ICON runs here without a lease");
  ICON_TRY(auto documents, host.market->documents(icon->lease_id));
  ICON_TRY(const auto lease, host.journal->find_lease(icon->lease_id));
  ICON_TRY(const auto seconds,
           query_int(request, "seconds", lease->slot_seconds, 1, wire::kSlotSecondsMax));
  json::Value price = nullptr;
  if (host.config.accept_leases) {
    const auto asked = host.config.prices.price_of(lease->resources, seconds);
    if (asked) price = *asked;
  }
  return json::Object{{"lease_id", icon->lease_id},
                      {"seconds", seconds},
                      {"renewal_price_ucredits", std::move(price)},
                      {"documents", std::move(documents)}};
}

// The hosts that still forward to us are paid for as long as we are.
Task<void> tell_stubs(Host& host, std::string icon_id, wire::Envelope renewed, UtcMillis end_ms) {
  for (const auto& stub : earlier_stubs(host, icon_id)) {
    const auto id = json::get_string(stub, "host", 64);
    const auto api = json::get_string(stub, "api", 64);
    if (!id || !api) continue;
    const auto key = PublicKey::from_id(*id);
    const auto endpoint = Endpoint::parse(*api);
    if (!key || !endpoint) continue;
    PeerRequest request;
    request.api = *endpoint;
    request.peer = *key;
    request.method = "POST";
    request.target = "/v1/stubs/" + icon_id + "/renewed";
    request.body = boost::json::serialize(json::Object{{"renewed_lease", renewed.to_json()}});
    request.total_timeout = kPeerAnswer;
    PeerRequest once = request;
    const bool told = co_await deliver(host, std::move(once));
    if (!told) deliver_later(host, std::move(request), end_ms);
  }
}

// Its seller is this host.
Result<json::Value> renew_lease(Host& host, const http::Request& request) {
  ICON_TRY(const auto body, body_of(request));
  ICON_TRY(const auto envelope, get_envelope(body, "renewal"));
  ICON_TRY(const auto renewal, wire::open<wire::Renewal>(envelope));
  if (renewal.icon.id() != request.icon_id)
    return fail(Code::kUnauthenticated, "the renewal is signed by another ICON");
  ICON_TRY(auto renewed, host.market->renew(envelope));
  ICON_TRY(const auto opened, wire::RenewedLease::from_json(renewed.body));
  log::info("lease.renewed", {{"lease", renewal.lease_id},
                              {"icon", short_id(request.icon_id)},
                              {"sequence", renewal.sequence},
                              {"expires_ms", opened.expires_ms},
                              {"price_ucredits", renewal.price_ucredits}});
  boost::asio::co_spawn(host.loop, tell_stubs(host, request.icon_id, renewed, opened.expires_ms),
                        boost::asio::detached);
  return json::Object{{"renewed_lease", renewed.to_json()}};
}

// Papers of a slot that the ICON had elsewhere.
Task<Result<json::Value>> carry_documents(Host& host, http::Request request) {
  ICON_CO_TRY(const auto body, body_of(request));
  ICON_CO_TRY(const auto id, json::get_string(body, "id", 64));
  ICON_CO_TRY(const auto lease_id, json::get_string(body, "lease_id", kLeaseIdBytesMax));
  if (lease_id.empty() || lease_id.find_first_not_of(kTokenLetters) != std::string::npos)
    co_return fail(Code::kInvalid, "that is no lease's id");
  if (id == host.id) {
    ICON_CO_TRY(auto documents, host.market->documents(lease_id));
    co_return json::Object{{"documents", std::move(documents)}};
  }
  PeerRequest call;
  ICON_CO_TRY(const auto api, json::get_string(body, "api", 64));
  ICON_CO_TRY(call.api, Endpoint::parse(api));
  ICON_CO_TRY(call.peer, PublicKey::from_id(id));
  call.target = "/v2/leases/" + lease_id + "/documents";
  call.connect_timeout = kPeerConnect;
  call.total_timeout = kPeerAnswer;
  call.response_bytes_max = kPapersBytesMax;
  ICON_CO_TRY(const auto answer, co_await host.peers->call(std::move(call)));
  ICON_CO_TRY(const auto text, http::body_or_error(answer.response));
  ICON_CO_TRY(const auto object, json::parse_object(text, kPapersBytesMax));
  ICON_CO_TRY(const auto* documents, json::get_array(object, "documents", kLeaseDocumentsMax));
  co_return json::Object{{"documents", *documents}};
}

}  // namespace

void add_lease_routes(http::Router& router, Host& host) {
  router.on("GET", "/v2/self/lease",
            answering(200, [&host](http::Request request) -> Task<Result<json::Value>> {
              co_return describe_lease(host, std::move(request));
            }));
  router.on("POST", "/v2/self/renewals",
            answering(200, [&host](http::Request request) -> Task<Result<json::Value>> {
              co_return renew_lease(host, request);
            }));
  router.on("POST", "/v2/self/documents", answering(200, [&host](http::Request request) {
              return carry_documents(host, std::move(request));
            }));
}

}  // namespace icon::supervisor
