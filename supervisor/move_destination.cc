#include "supervisor/move_destination.h"

#include <charconv>
#include <filesystem>

#include "base/log.h"
#include "supervisor/api_parts.h"
#include "supervisor/continuity/continuity.h"
#include "supervisor/move_destination_move.h"
#include "supervisor/move_parts.h"
#include "supervisor/traits.h"
#include "wire/overlay.h"

namespace icon::supervisor {
namespace {

using migration::DestinationEvent;
using migration::DestinationState;

constexpr std::size_t kMovesMax = 64;  // under way at a time

// The copy was given up before it ran, or never was: the source may thaw.
http::Response gone(std::string_view code, const std::string& message) {
  return http::json_response(
      410, json::Object{{"state", "aborted"},
                        {"error", json::Object{{"code", code}, {"message", message}}}});
}

Result<std::uint32_t> parse_mark(const std::string& text) {
  std::uint32_t mark = 0;
  const auto end = text.data() + text.size();
  if (std::from_chars(text.data(), end, mark).ptr != end || mark == 0)
    return fail(Code::kInvalid, "query 'mark' is no number of a mark");
  return mark;
}

bool is_digest(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace

void DestinationMoves::add_routes(http::Router& router) {
  router.on("POST", "/v1/migrations", [this](http::Request request) -> Task<http::Response> {
    const auto made = co_await reserve(request);
    co_return made ? http::json_response(201, *made) : http::error_response(made.error());
  });
  router.on_upload("PUT", "/v1/images/{digest}",
                   [this](http::Request request, http::BodyReader& body) -> Task<http::Response> {
                     request.params["m"] = request.query["migration"];
                     const auto move = find(request);
                     if (!move) co_return http::error_response(move.error());
                     co_return co_await answer(
                         *move, receive_image(**move, request.params["digest"], body));
                   });
  router.on_upload("PUT", "/v1/migrations/{m}/layer",
                   [this](http::Request request, http::BodyReader& body) -> Task<http::Response> {
                     const auto move = find(request);
                     if (!move) co_return http::error_response(move.error());
                     co_return co_await answer(*move, receive_layer(**move, body));
                   });
  router.on_upload("PUT", "/v1/migrations/{m}/stream",
                   [this](http::Request request, http::BodyReader& body) -> Task<http::Response> {
                     const auto move = find(request);
                     if (!move) co_return http::error_response(move.error());
                     co_return co_await answer_stream(*move, body);
                   });
  router.on("GET", "/v1/migrations/{m}/stream",
            [this](http::Request request) -> Task<http::Response> {
              const auto move = find(request);
              if (!move) co_return http::error_response(move.error());
              const auto mark = parse_mark(request.query["mark"]);
              if (!mark) co_return http::error_response(mark.error());
              co_return co_await answer_mark(*move, *mark);
            });
  router.on("POST", "/v1/migrations/{m}/commit",
            [this](http::Request request) -> Task<http::Response> {
              const auto move = find(request);
              if (!move) co_return answer_from_journal(request, move.error());
              const auto body = json::parse_object(request.body, kPeerAnswerBytesMax);
              if (!body) co_return http::error_response(body.error());
              co_return co_await answer(*move, commit(**move, *body));
            });
  router.on("POST", "/v1/migrations/{m}/abort",
            [this](http::Request request) -> Task<http::Response> {
              const auto move = find(request);
              if (!move) co_return http::error_response(move.error());
              const auto ended = co_await abort_on_request(**move, "the source gave up");
              co_return ended ? http::json_response(200, json::Object{{"state", "aborted"}})
                              : http::error_response(ended.error());
            });
  router.on("GET", "/v1/migrations/{m}", [this](http::Request request) -> Task<http::Response> {
    const auto move = find(request);
    if (!move) co_return http::error_response(move.error());
    co_return http::json_response(200, json::Object{{"state", (*move)->record.data().state},
                                                    {"epoch", (*move)->order.epoch}});
  });
  router.on("POST", "/v1/tunnels", [this](http::Request request) -> Task<http::Response> {
    const auto made = co_await admit_stub_host(request);
    co_return made ? http::json_response(200, *made) : http::error_response(made.error());
  });
  router.on("POST", "/v1/stubs/{icon}", [this](http::Request request) -> Task<http::Response> {
    const auto parse = [&]() -> Result<Stubs::Moved> {
      Stubs::Moved moved;
      ICON_TRY(const auto body, json::parse_object(request.body, kPeerAnswerBytesMax));
      ICON_TRY(const auto* order, json::get_object(body, "order"));
      ICON_TRY(moved.order, wire::parse_envelope(json::Value(*order)));
      ICON_TRY(const auto* commit, json::get_object(body, "commit"));
      ICON_TRY(moved.commit, wire::parse_envelope(json::Value(*commit)));
      ICON_TRY(const auto api, json::get_string(body, "api", 64));
      ICON_TRY(moved.api, Endpoint::parse(api));
      ICON_TRY(const auto address, json::get_string(body, "public_address", 64));
      ICON_TRY(moved.public_address, Address::parse(address));
      return moved;
    };
    auto moved = parse();
    if (!moved) co_return http::error_response(moved.error());
    const auto done = co_await stubs_.repoint(request.params["icon"], std::move(*moved));
    co_return done ? http::json_response(200, json::Object{}) : http::error_response(done.error());
  });
  router.on("POST", "/v1/stubs/{icon}/renewed",
            answering(200, [this](http::Request request) -> Task<Result<json::Value>> {
              ICON_CO_TRY(const auto body, body_of(request));
              ICON_CO_TRY(const auto renewed, get_envelope(body, "renewed_lease"));
              ICON_CO_CHECK(co_await stubs_.extend(request.params["icon"], renewed));
              co_return json::Object{};
            }));
}

Result<DestinationMoves::MovePtr> DestinationMoves::find(const http::Request& request) const {
  const auto id = request.params.find("m");
  const auto found = id == request.params.end() ? moves_.end() : moves_.find(id->second);
  if (found == moves_.end()) return fail(Code::kNotFound, "no such migration here");
  if (!request.peer_key || *request.peer_key != found->second->order.from)
    return fail(Code::kUnauthenticated, "only the source of a migration may speak of it");
  found->second->last_heard = host_.clock.steady();
  return found->second;
}

// A move that ended and was forgotten, by time or by a restart: the journal knows how it ended, and
// the source must never take "unknown" for "never ran" (I1).
http::Response DestinationMoves::answer_from_journal(const http::Request& request,
                                                     const Error& error) const {
  const auto id = request.params.find("m");
  const auto row = id == request.params.end() ? Result<std::optional<MigrationRecord>>()
                                              : host_.journal->find_migration(id->second);
  if (!row || !*row || (*row)->role != "destination" || !request.peer_key ||
      (*row)->peer != request.peer_key->id())
    return http::error_response(error);
  if ((*row)->state == to_string(DestinationState::kRunning))
    return http::json_response(200, json::Object{{"state", (*row)->state}});
  if ((*row)->state == to_string(DestinationState::kAborted)) return gone("expired", (*row)->error);
  return http::error_response(error);
}

Task<Status> DestinationMoves::while_busy(MovePtr move, Task<Status> work) {
  struct Busy {
    Move& move;
    explicit Busy(Move& of) : move(of) { move.busy = true; }
    ~Busy() { move.busy = false; }
  } const busy(*move);
  co_return co_await std::move(work);
}

// Nothing is taken away from under what is being done: that ends first, a restore at once. After
// the commit a request comes too late.
Task<Status> DestinationMoves::abort_on_request(Move& move, std::string reason) {
  if (move.transaction.state() == DestinationState::kCommitted)
    co_return fail(Code::kConflict, "this migration is committed");
  if (!move.busy) co_return co_await abort(move, std::move(reason));
  move.given_up = std::move(reason);
  if (move.pages) move.pages->stop();
  if (move.prepared) move.prepared->give_up();
  move.progress.cancel();
  co_return Status{};
}

Task<http::Response> DestinationMoves::answer(MovePtr move, Task<Status> work) {
  if (move->transaction.state() == DestinationState::kAborted)
    co_return gone("expired", move->record.data().error);
  if (move->busy)
    co_return http::error_response({Code::kConflict, "this migration is busy with another call"});
  const auto done = co_await while_busy(move, std::move(work));
  move->last_heard = host_.clock.steady();
  if (!move->given_up.empty() && move->transaction.state() != DestinationState::kRunning)
    (void)co_await abort(*move, move->given_up);
  if (done) co_return http::json_response(200, json::Object{{"state", move->record.data().state}});
  log::warn("migration.destination_failed",
            {{"migration", move->record.id()}, {"error", done.error().message}});
  // kConflict: asked for at the wrong time; that alone spoils nothing.
  if (done.error().code != Code::kConflict) (void)co_await abort(*move, done.error().message);
  if (move->transaction.state() == DestinationState::kAborted)
    co_return gone(to_string(done.error().code), done.error().message);
  co_return http::error_response(done.error());
}

Task<Status> DestinationMoves::step(Move& move, DestinationEvent event) {
  auto actions = move.transaction.step(event);
  if (!actions) co_return fail(actions.error());
  for (const auto action : *actions) {
    switch (action) {
      case migration::DestinationAction::kJournal: {
        // "It runs" went to disk with the release.
        if (move.record.data().state == to_string(move.transaction.state())) break;
        const bool committed = move.transaction.state() == DestinationState::kCommitted;
        ICON_CO_CHECK(host_.journal->transaction([&]() -> Status {
          ICON_CHECK(move.record.enter(to_string(move.transaction.state())));
          if (committed) return host_.journal->note_committed_epoch(move.icon.id, move.order.epoch);
          return {};
        }));
        break;
      }
      case migration::DestinationAction::kReleaseProcess:
        ICON_CO_CHECK(co_await release(move));
        break;
      case migration::DestinationAction::kWakeAgent:
        if (const auto woken = host_.containers->wake(move.icon.id); !woken)
          log::warn("migration.wake", {{"error", woken.error().message}});
        break;
      case migration::DestinationAction::kDiscard:
        co_await discard(move);
        break;
    }
  }
  co_return Status{};
}

// --- RESERVE -------------------------------------------------------------------------------------

Result<DestinationMoves::MovePtr> DestinationMoves::check_reservation(const http::Request& request,
                                                                      const json::Object& body) {
  const UtcMillis now = host_.clock.utc_ms();
  ICON_TRY(const auto* order_json, json::get_object(body, "order"));
  ICON_TRY(const auto order_envelope, wire::parse_envelope(json::Value(*order_json)));
  ICON_TRY(const auto order, wire::open<wire::MoveOrder>(order_envelope));
  ICON_CHECK(wire::check_times(order.issued_ms, order.expires_ms, now));
  if (!request.peer_key || order.from != *request.peer_key)
    return fail(Code::kUnauthenticated, "the order names another host as its source");
  if (order.to.id() != host_.id)
    return fail(Code::kUnauthenticated, "the order is for another destination");
  ICON_TRY(const auto* lease_json, json::get_object(body, "lease"));
  ICON_TRY(const auto lease_envelope, wire::parse_envelope(json::Value(*lease_json)));
  ICON_TRY(const auto lease, wire::open<wire::Lease>(lease_envelope));
  if (lease.lease_id != order.lease_id || lease.provider != order.to)
    return fail(Code::kUnauthenticated, "the lease does not belong to the order");
  const std::string icon_id = order.icon.id();
  ICON_TRY(const auto row, host_.market->usable_lease(lease.lease_id, icon_id));
  ICON_CHECK(host_.journal->check_epoch(icon_id, order.epoch));
  if (moves_.contains(order.migration_id))
    return fail(Code::kConflict, "this order was presented already");
  ICON_CHECK(host_.journal->use_nonce("order", order.migration_id, order.expires_ms));

  MigrationRecord record;
  record.id = order.migration_id;
  record.icon = icon_id;
  ICON_TRY(record.icon_name, json::get_string(body, "name", 63));
  record.role = "destination";
  record.peer = order.from.id();
  ICON_TRY(record.from, json::get_string(body, "from_name", 255));
  record.to = host_.config.provider_name;
  record.epoch = order.epoch;
  record.state = to_string(DestinationState::kReserved);
  record.reason = order.reason;
  record.started_ms = now;
  record.details = {{"order", *order_json}, {"lease", *lease_json}};
  if (const auto* birth = body.if_contains("birth")) record.details["birth"] = *birth;
  auto move = std::make_shared<Move>(host_, std::move(record));
  move->order = order;
  move->lease = lease;
  if (body.contains("birth")) ICON_CHECK(read_birth(*move, body));
  ICON_TRY(move->digest, json::get_string(body, "image", 64));
  if (!is_digest(move->digest)) return fail(Code::kInvalid, "field 'image' is no digest");
  ICON_TRY(const auto* spec, json::get_object(body, "spec"));
  ICON_TRY(move->icon.spec, ContainerSpec::from_json(*spec));
  if (move->is_fresh()) move->icon.spec.docker = false;  // its image is not there under a name
  if (!row.resources.covers(move->icon.spec.resources))
    return fail(Code::kRefused, "the lease is smaller than what the ICON asks for");
  move->allowed = move->icon.spec.resources;
  if (move->allowed.memory_bytes == 0) move->allowed.memory_bytes = row.resources.memory_bytes;
  if (move->allowed.memory_bytes == 0)
    return fail(Code::kRefused, "the lease has no memory, and the ICON names no limit of its own");
  ICON_TRY(const auto* stubs, json::get_array(body, "stubs", kStubsMax));
  for (const auto& stub : *stubs) {
    if (!stub.is_object()) return fail(Code::kInvalid, "field 'stubs' holds something else");
    ICON_TRY(const auto host_id, json::get_string(stub.get_object(), "host", 64));
    ICON_TRY(const auto key, PublicKey::from_id(host_id));
    if (key.id() != host_.id) move->stubs.push_back(stub);  // it comes back: no stub needed here
  }
  return move;
}

Task<Result<json::Object>> DestinationMoves::reserve(const http::Request& request) {
  if (moves_.size() >= kMovesMax)
    co_return fail(Code::kLimit, "too many migrations at a time; try again later");
  ICON_CO_TRY(const auto body, json::parse_object(request.body, ContainerSpec::kJsonBytesMax));
  ICON_CO_TRY(auto move, check_reservation(request, body));
  if (const auto fit = co_await refuse_unfit(host_, body); !fit) {
    log::warn("migration.reserve_failed",
              {{"migration", move->record.id()}, {"error", fit.error().message}});
    // As discard() does: nobody will use it.
    if (const auto receipt = host_.market->release(move->lease.lease_id); !receipt)
      log::warn("migration.receipt", {{"error", receipt.error().message}});
    co_return fail(fit.error());
  }
  auto& icon = move->icon;
  icon.id = move->order.icon.id();
  icon.name = move->record.data().icon_name;
  icon.epoch = move->order.epoch;
  icon.state = icon_state::kReserved;
  icon.image_digest = move->digest;
  icon.lower_dir = host_.containers->image_rootfs(move->digest);
  icon.lease_id = move->lease.lease_id;
  icon.overlay = wire::overlay_address(move->order.icon);
  icon.started_ms = host_.clock.utc_ms();
  const auto known = host_.journal->find_icon(icon.id);
  if (known && *known && (*known)->state != icon_state::kMoved &&
      (*known)->state != icon_state::kStopped && (*known)->state != icon_state::kFailed)
    co_return fail(Code::kConflict, "this ICON is on this host already");
  move->last_heard = host_.clock.steady();
  move->record.begin("reserve");
  moves_[move->record.id()] = move;
  auto ready = co_await while_busy(move, set_up(*move, body));
  if (ready && !move->given_up.empty()) ready = fail(Code::kCancelled, move->given_up);
  if (!ready) {
    log::warn("migration.reserve_failed",
              {{"migration", move->record.id()}, {"error", ready.error().message}});
    (void)co_await abort(*move, ready.error().message);
    moves_.erase(move->record.id());
    co_return fail(ready.error());
  }
  move->record.end(0);
  const auto tunnel = host_.network->open_tunnel(move->record.data().peer);
  if (!tunnel) co_return fail(tunnel.error());
  std::error_code error;
  const auto apart = co_await checkpointer_.memory_can_travel_apart();
  co_return json::Object{{"has_image", std::filesystem::exists(icon.lower_dir, error)},
                         {"memory_apart", apart.has_value()},
                         {"standby", move->has_standby},
                         {"tunnel", tunnel_to_json(*tunnel)},
                         {"public_address", host_.config.public_address.to_string()}};
}

Task<Status> DestinationMoves::set_up(Move& move, const json::Object& body) {
  ICON_CO_TRY(auto standby_id, json::get_string_or(body, "standby", "", 64));
  // First of all: an ICON that is arriving gets no new standby.
  ICON_CO_CHECK(host_.journal->transaction([&]() -> Status {
    ICON_CHECK(move.record.save());
    ICON_CHECK(host_.market->present(move.lease.lease_id, move.icon.id));
    return host_.journal->put_icon(move.icon);
  }));
  StandbyClaim claim{std::move(standby_id), move.icon.id, move.order.from, move.digest,
                     &move.icon.spec};
  move.has_standby = co_await host_.continuity->given().take(std::move(claim));
  ICON_CO_TRY(const auto* tunnel, json::get_object(body, "tunnel"));
  ICON_CO_TRY(const auto remote, tunnel_from_json(*tunnel));
  const std::string& peer = move.record.data().peer;
  ICON_CO_TRY(const auto local, host_.network->open_tunnel(peer));
  ICON_CO_CHECK(host_.network->connect_tunnel(peer, remote));
  ICON_CO_TRY(const auto api,
              json::get_string(move.stubs.empty() ? json::Object{{"api", "0.0.0.0:0"}}
                                                  : move.stubs.front().as_object(),
                               "api", 64));
  ICON_CO_TRY(const auto endpoint, Endpoint::parse(api));
  ICON_CO_CHECK(host_.journal->put_tunnel(peer, tunnel_row(endpoint, remote)));
  ICON_CO_CHECK(note_earlier_stubs(host_, move.icon.id, move.stubs));
  if (!move.has_standby)
    ICON_CO_CHECK(host_.containers->make_directories(move.icon.id, move.icon.spec));
  ICON_CO_CHECK(host_.network->attach_held(icon_network(host_, move.icon)));
  co_return co_await open_shell(move);
}

// --- Ends ----------------------------------------------------------------------------------------

// --- Stubs of other hosts ------------------------------------------------------------------------

Task<Result<json::Object>> DestinationMoves::admit_stub_host(const http::Request& request) {
  ICON_CO_TRY(const auto body, json::parse_object(request.body, kPeerAnswerBytesMax));
  ICON_CO_TRY(const auto icon_id, json::get_string(body, "icon", 64));
  if (!request.peer_key) co_return fail(Code::kUnauthenticated, "no key");
  const std::string peer = request.peer_key->id();
  const auto stubs = earlier_stubs(host_, icon_id);
  const auto entry = std::find_if(stubs.begin(), stubs.end(), [&](const json::Object& stub) {
    const auto host_id = json::get_string(stub, "host", 64);
    return host_id && *host_id == peer;
  });
  if (entry == stubs.end()) co_return fail(Code::kRefused, "that host holds no stub of this ICON");
  ICON_CO_TRY(const auto icon, host_.journal->find_icon(icon_id));
  if (!icon || icon->state != icon_state::kRunning)
    co_return fail(Code::kNotFound, "the ICON does not run here");
  ICON_CO_TRY(const auto* tunnel, json::get_object(body, "tunnel"));
  ICON_CO_TRY(const auto remote, tunnel_from_json(*tunnel));
  ICON_CO_TRY(const auto api_text, json::get_string(*entry, "api", 64));
  ICON_CO_TRY(const auto api, Endpoint::parse(api_text));
  ICON_CO_TRY(const auto local, host_.network->open_tunnel(peer));
  ICON_CO_CHECK(host_.network->connect_tunnel(peer, remote));
  ICON_CO_CHECK(host_.network->allow_stub_host(icon_id, peer));
  ICON_CO_CHECK(host_.journal->put_tunnel(peer, tunnel_row(api, remote)));
  co_return json::Object{{"tunnel", tunnel_to_json(local)}};
}

}  // namespace icon::supervisor
