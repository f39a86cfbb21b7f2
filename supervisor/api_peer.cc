// What other hosts may ask: who we are, what a slot costs, a lease, and its return. Whose key the
// caller proved is in the request; documents prove the rest.
#include "supervisor/api.h"
#include "supervisor/api_parts.h"
#include "supervisor/host.h"
#include "supervisor/mover.h"

namespace icon::supervisor {
namespace {

Task<Result<json::Value>> make_offer(Host& host, http::Request request) {
  ICON_CO_TRY(const auto body, body_of(request));
  ICON_CO_TRY(const auto nonce, json::get_string(body, "nonce", 128));
  ICON_CO_TRY(const auto* resources_json, json::get_object(body, "resources"));
  ICON_CO_TRY(const auto resources, wire::Resources::from_json(*resources_json));
  ICON_CO_TRY(const auto slot_seconds,
              json::get_int(body, "slot_seconds", 1, wire::kSlotSecondsMax));
  // Who asks is not proved here: it only says whose kept room may be counted as free.
  ICON_CO_TRY(const auto icon, json::get_string_or(body, "icon", "", 64));
  ICON_CO_TRY(const auto offer, host.market->offer(nonce, resources, slot_seconds, icon));
  co_return json::Object{{"offer", offer.to_json()}};
}

Task<Result<json::Value>> sell_lease(Host& host, http::Request request) {
  ICON_CO_TRY(const auto body, body_of(request));
  ICON_CO_TRY(const auto bid, get_envelope(body, "bid"));
  ICON_CO_TRY(const auto offer, get_envelope(body, "offer"));
  ICON_CO_TRY(const auto lease, host.market->sell(bid, offer));
  co_return json::Object{{"lease", lease.to_json()}};
}

Task<Result<json::Value>> take_lease_back(Host& host, http::Request request) {
  ICON_CO_TRY(const auto body, body_of(request));
  const std::string_view key = body.if_contains("bid") != nullptr ? "bid" : "order";
  ICON_CO_TRY(const auto document, get_envelope(body, key));
  ICON_CO_TRY(const auto receipt, host.market->give_back(request.params["id"], document));
  co_return json::Object{{"receipt", receipt.to_json()}};
}

Task<Result<json::Value>> answer_pings(Host& host, http::Request request) {
  ICON_CO_TRY(const auto body, body_of(request));
  ICON_CO_TRY(auto question, get_envelope(body, "request"));
  if (!request.peer_address)
    co_return fail(Code::kRefused, "it is not known where the call comes from");
  ICON_CO_TRY(const auto report,
              co_await host.pings->answer(std::move(question), *request.peer_address));
  co_return json::Object{{"report", report.to_json()}};
}

Task<Result<json::Value>> reserve_slot(Host& host, http::Request request) {
  ICON_CO_TRY(const auto body, body_of(request));
  ICON_CO_TRY(const auto bid, get_envelope(body, "bid"));
  ICON_CO_TRY(const auto offer, get_envelope(body, "offer"));
  ICON_CO_TRY(const auto reservation, host.market->reserve(bid, offer));
  co_return json::Object{{"reservation", reservation.to_json()}};
}

Task<Result<json::Value>> confirm_lease(Host& host, http::Request request) {
  ICON_CO_TRY(const auto body, body_of(request));
  ICON_CO_TRY(const auto reservation, get_envelope(body, "reservation"));
  ICON_CO_TRY(const auto confirmation, get_envelope(body, "confirmation"));
  ICON_CO_TRY(const auto sold, host.market->confirm(reservation, confirmation));
  co_return json::Object{{"lease", sold.lease.to_json()}, {"terms", sold.terms.to_json()}};
}

Task<Result<json::Value>> show_documents(Host& host, http::Request request) {
  ICON_CO_TRY(auto documents, host.market->documents(request.params["id"]));
  co_return json::Object{{"documents", std::move(documents)}};
}

}  // namespace

void add_peer_routes(http::Router& router, Host& host) {
  add_sale_peer_routes(router, host);
  router.on("GET", "/v1/hello", answering(200, [&host](http::Request) -> Task<Result<json::Value>> {
              co_return json::Object{{"id", host.id},
                                     {"provider_name", host.config.provider_name},
                                     {"version", kVersion}};
            }));
  router.on("GET", "/v1/traits",
            answering(200, [&host](http::Request) -> Task<Result<json::Value>> {
              const auto traits = co_await host.mover->traits();
              co_return json::Value(traits.to_json());
            }));
  router.on("POST", "/v1/offers", answering(200, [&host](http::Request request) {
              return make_offer(host, std::move(request));
            }));
  router.on("POST", "/v1/leases", answering(200, [&host](http::Request request) {
              return sell_lease(host, std::move(request));
            }));
  router.on("POST", "/v1/pings", answering(200, [&host](http::Request request) {
              return answer_pings(host, std::move(request));
            }));
  router.on("POST", "/v2/reservations", answering(200, [&host](http::Request request) {
              return reserve_slot(host, std::move(request));
            }));
  router.on("POST", "/v2/leases", answering(200, [&host](http::Request request) {
              return confirm_lease(host, std::move(request));
            }));
  router.on("GET", "/v2/leases/{id}/documents", answering(200, [&host](http::Request request) {
              return show_documents(host, std::move(request));
            }));
  router.on("DELETE", "/v1/leases/{id}", answering(200, [&host](http::Request request) {
              return take_lease_back(host, std::move(request));
            }));
}

}  // namespace icon::supervisor
