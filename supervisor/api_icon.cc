// The ICON's own socket: what an agent may ask its host. The host carries and records; the agent
// verifies and decides.
#include <algorithm>

#include "base/encoding.h"
#include "base/log.h"
#include "supervisor/api.h"
#include "supervisor/api_parts.h"
#include "supervisor/continuity/continuity.h"
#include "supervisor/dht_link.h"
#include "supervisor/host.h"
#include "supervisor/move_parts.h"
#include "wire/birth.h"
#include "wire/tenancy.h"

namespace icon::supervisor {
namespace {

constexpr Millis kPing{15'000};
constexpr Millis kPeerConnect{3'000};
constexpr Millis kPeerAnswer{10'000};
constexpr std::size_t kStatusBytesMax = 256 << 10;
constexpr std::size_t kEvidenceBytesMax = 512 << 10;
constexpr std::size_t kPeerAnswerMax = 256 << 10;
constexpr std::size_t kOutcomeBytesMax = 32;
constexpr std::size_t kReseedErrorBytesMax = 1024;
constexpr std::int64_t kProcessesMax = 1 << 20;

Result<IconRecord> self_of(Host& host, const http::Request& request) {
  ICON_TRY(auto icon, host.journal->find_icon(request.icon_id));
  if (!icon) return fail(Code::kNotFound, "this host does not know ICON " + request.icon_id);
  return std::move(*icon);
}

Result<json::Value> describe_self(Host& host, const http::Request& request) {
  ICON_TRY(const auto icon, self_of(host, request));
  json::Array ports;
  for (const auto& port : icon.spec.ports) ports.emplace_back(port.to_json());
  json::Array providers;
  for (const auto& provider : host.config.providers) providers.emplace_back(provider.to_json());
  // Where its owner's orders may lead it: it has to know them.
  for (const auto& sibling : host.config.continuity.siblings) {
    const auto& listed = host.config.providers;
    const bool is_known = std::any_of(listed.begin(), listed.end(),
                                      [&](const auto& other) { return other.id == sibling.id; });
    if (!is_known) providers.emplace_back(sibling.to_json());
  }
  json::Value lease = nullptr;
  if (!icon.lease_id.empty()) {
    ICON_TRY(const auto record, host.journal->find_lease(icon.lease_id));
    if (record) lease = record->lease;
  }
  return json::Object{
      {"icon", icon.id},
      {"name", icon.name},
      {"epoch", icon.epoch},
      {"overlay", icon.overlay.to_string()},
      {"hold", icon.hold},
      {"supervisor", json::Object{{"id", host.id},
                                  {"provider_name", host.config.provider_name},
                                  {"api", host.config.api.to_string()},
                                  {"public_address", host.config.public_address.to_string()}}},
      {"ports", std::move(ports)},
      {"resources", icon.spec.resources.to_json()},
      {"lease", std::move(lease)},
      {"host_join", host.host_join},
      {"providers", std::move(providers)}};
}

// How the ICON's newest move or replication ended, if it runs here; else empty. An agent that knows
// it already ignores it.
std::string verdict_event(Host& host, const std::string& icon_id, std::int64_t epoch) {
  const auto migrations = host.journal->migrations();
  if (!migrations) return {};
  for (const auto& migration : *migrations) {
    if (migration.icon != icon_id) continue;
    if (migration.role != "source") return {};
    if (migration.state == "done" && migration.details.contains("birth"))
      return boost::json::serialize(
          json::Object{{"event", "replica_started"}, {"migration", migration.id}});
    if (migration.state != "rolled_back") return {};
    return boost::json::serialize(json::Object{{"event", "rolled_back"},
                                               {"migration", migration.id},
                                               {"epoch", epoch},
                                               {"reason", migration.error}});
  }
  return {};
}

Task<void> stream_events(Host& host, http::Request request, http::LineWriter& lines) {
  auto listener = host.events.listen(EventHub::icon_topic(request.icon_id));
  if (!listener) {
    const json::Object refusal{{"event", "refused"}, {"reason", listener.error().message}};
    (void)co_await lines.write_line(boost::json::serialize(refusal));
    co_return;
  }
  if (!co_await lines.write_line(R"({"event":"hello"})")) co_return;
  const auto icon = host.journal->find_icon(request.icon_id);
  // Said to every new listener, either way: the agent may have restarted or moved here, or it may
  // have been away when this changed.
  std::string hold = R"({"event":"unhold"})";
  if (icon && *icon && (*icon)->hold) hold = R"({"event":"hold"})";
  if (!co_await lines.write_line(std::move(hold))) co_return;
  const json::Object delegate{{"event", "delegate"}, {"on", host.continuity->delegates()}};
  if (!co_await lines.write_line(boost::json::serialize(delegate))) co_return;
  // How its last move ended may have been said while the agent was still frozen.
  const auto verdict = verdict_event(host, request.icon_id, icon && *icon ? (*icon)->epoch : 0);
  if (!verdict.empty() && !co_await lines.write_line(verdict)) co_return;
  for (;;) {
    auto event = co_await (*listener)->next(kPing);
    if (!event && event.error().code != Code::kTimeout) co_return;
    // Not a conditional inside co_await: g++ 12 destroys its temporary twice.
    std::string line = R"({"event":"ping"})";
    if (event) line = std::move(*event);
    if (!co_await lines.write_line(std::move(line))) co_return;
  }
}

// A JSON call to another host on the agent's behalf.
Task<Result<PeerResponse>> ask_peer(Host& host, const json::Object& body, std::string target,
                                    json::Object question) {
  PeerRequest call;
  ICON_CO_TRY(const auto api, json::get_string(body, "api", 64));
  ICON_CO_TRY(call.api, Endpoint::parse(api));
  ICON_CO_TRY(const auto id, json::get_string_or(body, "id", "", 64));
  if (!id.empty()) {
    ICON_CO_TRY(call.peer, PublicKey::from_id(id));
  }
  call.method = "POST";
  call.target = std::move(target);
  call.body = boost::json::serialize(question);
  call.connect_timeout = kPeerConnect;
  call.total_timeout = kPeerAnswer;
  call.response_bytes_max = kPeerAnswerMax;
  co_return co_await host.peers->call(std::move(call));
}

Task<Result<json::Value>> carry_offer(Host& host, http::Request request) {
  ICON_CO_TRY(const auto body, body_of(request));
  ICON_CO_TRY(const auto nonce, json::get_string(body, "nonce", 128));
  ICON_CO_TRY(const auto* resources, json::get_object(body, "resources"));
  ICON_CO_TRY(const auto slot_seconds,
              json::get_int(body, "slot_seconds", 1, wire::kSlotSecondsMax));
  json::Object question{{"nonce", nonce},
                        {"resources", *resources},
                        {"slot_seconds", slot_seconds},
                        {"icon", request.icon_id}};  // room may be kept for it there
  ICON_CO_TRY(const auto answer, co_await ask_peer(host, body, "/v1/offers", std::move(question)));
  ICON_CO_TRY(const auto text, http::body_or_error(answer.response));
  ICON_CO_TRY(const auto object, json::parse_object(text, kPeerAnswerMax));
  ICON_CO_TRY(const auto offer, get_envelope(object, "offer"));
  co_return json::Object{{"offer", offer.to_json()},
                         {"observed_id", answer.peer.id()},
                         {"connect_rtt_us", answer.connect_rtt_us}};
}

Task<Result<json::Value>> carry_lease(Host& host, http::Request request) {
  ICON_CO_TRY(const auto body, body_of(request));
  ICON_CO_TRY(const auto bid_envelope, get_envelope(body, "bid"));
  ICON_CO_TRY(const auto offer_envelope, get_envelope(body, "offer"));
  ICON_CO_TRY(const auto bid, wire::open<wire::Bid>(bid_envelope));
  if (bid.icon.id() != request.icon_id)
    co_return fail(Code::kUnauthenticated, "the bid is signed by another ICON");
  if (bid.provider == host.key.public_key())
    co_return fail(Code::kConflict, "the bid is for the host that the ICON is on");
  json::Object named = body;
  named["id"] = bid.provider.id();  // a lease is bought from whom the bid names, or not at all
  json::Object question{{"bid", bid_envelope.to_json()}, {"offer", offer_envelope.to_json()}};
  ICON_CO_TRY(const auto answer, co_await ask_peer(host, named, "/v1/leases", std::move(question)));
  ICON_CO_TRY(const auto text, http::body_or_error(answer.response));
  ICON_CO_TRY(const auto object, json::parse_object(text, kPeerAnswerMax));
  ICON_CO_TRY(const auto lease_envelope, get_envelope(object, "lease"));
  ICON_CO_CHECK(host.market->note_bought(lease_envelope, bid_envelope));
  co_return json::Object{{"lease", lease_envelope.to_json()}};
}

Task<Result<json::Value>> carry_pings(Host& host, http::Request request) {
  ICON_CO_TRY(const auto body, body_of(request));
  ICON_CO_TRY(const auto question_envelope, get_envelope(body, "request"));
  ICON_CO_TRY(const auto asked, wire::open<wire::PingRequest>(question_envelope));
  if (asked.icon.id() != request.icon_id)
    co_return fail(Code::kUnauthenticated, "the request is signed by another ICON");
  json::Object named = body;
  named["id"] = asked.provider.id();
  json::Object question{{"request", question_envelope.to_json()}};
  ICON_CO_TRY(const auto answer, co_await ask_peer(host, named, "/v1/pings", std::move(question)));
  ICON_CO_TRY(const auto text, http::body_or_error(answer.response));
  ICON_CO_TRY(const auto object, json::parse_object(text, kPeerAnswerMax));
  ICON_CO_TRY(const auto report, get_envelope(object, "report"));
  co_return json::Object{{"report", report.to_json()}};
}

// Carries one call of the market to its provider: the documents inside bind, not we.
Task<Result<json::Object>> carry(Host& host, json::Object body, const PublicKey& provider,
                                 std::string target, json::Object question) {
  if (provider == host.key.public_key())
    co_return fail(Code::kConflict, "that provider is the host that the ICON is on");
  body["id"] = provider.id();  // from whom the bid names, or not at all
  ICON_CO_TRY(const auto answer,
              co_await ask_peer(host, body, std::move(target), std::move(question)));
  ICON_CO_TRY(const auto text, http::body_or_error(answer.response));
  co_return json::parse_object(text, kPeerAnswerMax);
}

// An ICON buys for itself, or for the replica that it is about to make: then its word for that
// lies beside. For nobody else.
Status check_buyer(Host& host, const json::Object& body, const std::string& icon_id,
                   const PublicKey& buyer) {
  if (buyer.id() == icon_id) return {};
  if (!body.contains("birth")) return fail(Code::kUnauthenticated, "it is signed by another ICON");
  ICON_TRY(const auto envelope, get_envelope(body, "birth"));
  ICON_TRY(const auto birth, wire::open<wire::Birth>(envelope));
  if (birth.parent.id() != icon_id || birth.child != buyer)
    return fail(Code::kUnauthenticated, "the birth is not that of the buyer");
  return wire::check_times(birth.issued_ms, birth.expires_ms, host.clock.utc_ms());
}

Task<Result<json::Value>> carry_reservation(Host& host, http::Request request) {
  ICON_CO_TRY(const auto body, body_of(request));
  ICON_CO_TRY(const auto bid_envelope, get_envelope(body, "bid"));
  ICON_CO_TRY(const auto offer, get_envelope(body, "offer"));
  ICON_CO_TRY(const auto bid, wire::open<wire::Bid>(bid_envelope));
  ICON_CO_CHECK(check_buyer(host, body, request.icon_id, bid.icon));
  json::Object question{{"bid", bid_envelope.to_json()}, {"offer", offer.to_json()}};
  ICON_CO_TRY(const auto answer,
              co_await carry(host, body, bid.provider, "/v2/reservations", std::move(question)));
  ICON_CO_TRY(const auto reservation, get_envelope(answer, "reservation"));
  co_return json::Object{{"reservation", reservation.to_json()}};
}

Task<Result<json::Value>> carry_confirmation(Host& host, http::Request request) {
  ICON_CO_TRY(const auto body, body_of(request));
  ICON_CO_TRY(const auto reservation, get_envelope(body, "reservation"));
  ICON_CO_TRY(const auto confirmation, get_envelope(body, "confirmation"));
  ICON_CO_TRY(const auto reserved, wire::open<wire::Reservation>(reservation));
  ICON_CO_TRY(const auto confirmed, wire::open<wire::Confirmation>(confirmation));
  ICON_CO_CHECK(check_buyer(host, body, request.icon_id, confirmed.icon));
  json::Object question{{"reservation", reservation.to_json()},
                        {"confirmation", confirmation.to_json()}};
  ICON_CO_TRY(const auto answer,
              co_await carry(host, body, reserved.provider, "/v2/leases", std::move(question)));
  ICON_CO_TRY(const auto lease, get_envelope(answer, "lease"));
  ICON_CO_TRY(const auto terms, get_envelope(answer, "terms"));
  ICON_CO_CHECK(host.market->note_bought(lease, reserved.bid));
  co_return json::Object{{"lease", lease.to_json()}, {"terms", terms.to_json()}};
}

Task<Result<json::Value>> order_migration(Host& host, http::Request request) {
  ICON_CO_TRY(const auto body, body_of(request));
  MoveRequest move;
  move.icon_id = request.icon_id;
  ICON_CO_TRY(move.order, get_envelope(body, "order"));
  ICON_CO_TRY(move.lease, get_envelope(body, "lease"));
  ICON_CO_TRY(const auto api, json::get_string(body, "api", 64));
  ICON_CO_TRY(move.api, Endpoint::parse(api));
  if (body.if_contains("evidence") != nullptr) {
    ICON_CO_TRY(const auto* evidence, json::get_object(body, "evidence"));
    if (boost::json::serialize(*evidence).size() > kEvidenceBytesMax)
      co_return fail(Code::kLimit, "the evidence is larger than 512 KiB");
    move.evidence = *evidence;
  }
  if (body.if_contains("birth") != nullptr) {
    ICON_CO_TRY(move.birth, get_envelope(body, "birth"));
    ICON_CO_TRY(move.child_key, get_key_pair(body, "key"));
  }
  ICON_CO_TRY(const auto id, co_await host.mover->start(std::move(move)));
  co_return json::Object{{"migration", id}};
}

Result<json::Value> order_standby(Host& host, const http::Request& request) {
  ICON_TRY(const auto body, body_of(request));
  ICON_TRY(const auto order, get_envelope(body, "order"));
  ICON_CHECK(host.continuity->consented(request.icon_id, order));
  return json::Value();
}

// A copy says that it knows who it is, and that nothing in it is as random as in its parent.
Result<json::Value> note_reseeded(Host& host, const http::Request& request) {
  ICON_TRY(const auto body, body_of(request));
  ICON_TRY(const auto error, json::get_string_or(body, "error", "", kReseedErrorBytesMax));
  ICON_TRY(const auto processes, json::get_int_or(body, "processes", 0, 0, kProcessesMax));
  host.events.publish(EventHub::reseed_topic(request.icon_id),
                      json::Object{{"error", error}, {"processes", processes}});
  return json::Value();
}

Result<json::Value> note_decision(Host& host, const http::Request& request) {
  ICON_TRY(const auto body, body_of(request));
  DecisionRecord decision;
  ICON_TRY(decision.id, json::get_string(body, "decision", 128));
  if (decision.id.empty()) decision.id = random_token(16);
  ICON_TRY(decision.outcome, json::get_string(body, "outcome", kOutcomeBytesMax));
  if (body.if_contains("evidence") != nullptr) {
    ICON_TRY(const auto* evidence, json::get_object(body, "evidence"));
    if (boost::json::serialize(*evidence).size() > kEvidenceBytesMax)
      return fail(Code::kLimit, "the evidence is larger than 512 KiB");
    decision.evidence = *evidence;
  }
  // The id is the agent's choice; another ICON's decision must not be overwritten by it.
  decision.id = short_id(request.icon_id) + "-" + decision.id;
  decision.icon = request.icon_id;
  decision.time_ms = host.clock.utc_ms();
  ICON_CHECK(host.journal->put_decision(decision));
  return json::Value();
}

Result<json::Value> note_status(Host& host, const http::Request& request) {
  if (request.body.size() > kStatusBytesMax)
    return fail(Code::kLimit, "the status is larger than 256 KiB");
  ICON_TRY(auto body, body_of(request));
  ICON_CHECK(self_of(host, request));
  host.icons->set_status(request.icon_id, std::move(body));
  return json::Value();
}

}  // namespace

void add_icon_routes(http::Router& router, Host& host) {
  router.on("GET", "/v1/self",
            answering(200, [&host](http::Request request) -> Task<Result<json::Value>> {
              co_return describe_self(host, request);
            }));
  router.on_stream("GET", "/v1/self/events",
                   [&host](http::Request request, http::LineWriter& lines) -> Task<void> {
                     co_await stream_events(host, std::move(request), lines);
                   });
  router.on("POST", "/v1/self/offers", answering(200, [&host](http::Request request) {
              return carry_offer(host, std::move(request));
            }));
  router.on("POST", "/v1/self/leases", answering(200, [&host](http::Request request) {
              return carry_lease(host, std::move(request));
            }));
  router.on("POST", "/v1/self/pings", answering(200, [&host](http::Request request) {
              return carry_pings(host, std::move(request));
            }));
  router.on("POST", "/v1/self/dht", answering(200, [&host](http::Request request) {
              return carry_dht_lookup(host, std::move(request));
            }));
  router.on("POST", "/v2/self/reservations", answering(200, [&host](http::Request request) {
              return carry_reservation(host, std::move(request));
            }));
  router.on("POST", "/v2/self/leases", answering(200, [&host](http::Request request) {
              return carry_confirmation(host, std::move(request));
            }));
  add_lease_routes(router, host);
  add_sale_icon_routes(router, host);
  router.on("POST", "/v1/self/migrations", answering(202, [&host](http::Request request) {
              return order_migration(host, std::move(request));
            }));
  router.on("POST", "/v1/self/standbys",
            answering(204, [&host](http::Request request) -> Task<Result<json::Value>> {
              co_return order_standby(host, request);
            }));
  router.on("POST", "/v1/self/reseeded",
            answering(204, [&host](http::Request request) -> Task<Result<json::Value>> {
              co_return note_reseeded(host, request);
            }));
  router.on("POST", "/v1/self/decisions",
            answering(204, [&host](http::Request request) -> Task<Result<json::Value>> {
              co_return note_decision(host, request);
            }));
  router.on("PUT", "/v1/self/status",
            answering(204, [&host](http::Request request) -> Task<Result<json::Value>> {
              co_return note_status(host, request);
            }));
  add_map_route(router, host);
  add_plan_route(router, host);
  router.on("POST", "/v1/self/log",
            answering(204, [](http::Request request) -> Task<Result<json::Value>> {
              ICON_CO_TRY(const auto body, body_of(request));
              ICON_CO_TRY(const auto* lines, json::get_array(body, "lines", 1000));
              log::debug("icon.log", {{"icon", request.icon_id}, {"lines", lines->size()}});
              co_return json::Value();
            }));
}

}  // namespace icon::supervisor
