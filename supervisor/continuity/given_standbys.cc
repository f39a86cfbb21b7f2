#include "supervisor/continuity/given_standbys.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <filesystem>
#include <utility>

#include "base/log.h"
#include "supervisor/api_parts.h"
#include "supervisor/continuity/given_standby.h"
#include "supervisor/host.h"
#include "supervisor/move_parts.h"
#include "supervisor/tunnel_uses.h"
#include "wire/overlay.h"

namespace icon::supervisor {
namespace {

constexpr const char* kNotedKey = "continuity/standbys";
constexpr std::size_t kNotedBytesMax = 1 << 20;

bool is_digest(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

void add(wire::Resources& sum, const wire::Resources& more) {
  sum = {sum.cpu_millis + more.cpu_millis, sum.memory_bytes + more.memory_bytes,
         sum.bandwidth_bps + more.bandwidth_bps};
}

// Of an ICON whose row says that it is somewhere else.
bool is_elsewhere(const std::optional<IconRecord>& row) {
  return !row || row->state == icon_state::kMoved || row->state == icon_state::kStopped ||
         row->state == icon_state::kFailed;
}

}  // namespace

GivenStandbys::GivenStandbys(Host& host, Contracts& contracts,
                             std::function<bool(const std::string&)> is_leaving)
    : host_(host), contracts_(contracts), is_leaving_(std::move(is_leaving)) {}
GivenStandbys::~GivenStandbys() = default;

void GivenStandbys::add_routes(http::Router& router) {
  router.on("POST", "/v1/standbys", [this](http::Request request) -> Task<http::Response> {
    const auto made = co_await open(request);
    co_return made ? http::json_response(201, *made) : http::error_response(made.error());
  });
  router.on_upload("PUT", "/v1/standbys/{s}/{part}",
                   [this](http::Request request, http::BodyReader& body) -> Task<http::Response> {
                     const auto standby = find(request);
                     if (!standby) co_return http::error_response(standby.error());
                     const auto done = co_await receive(*standby, request.params["part"], body);
                     if (!done) co_return http::error_response(done.error());
                     co_return http::json_response(200, json::Object{});
                   });
  router.on("GET", "/v1/standbys/{s}", [this](http::Request request) -> Task<http::Response> {
    const auto standby = find(request);
    if (!standby) co_return http::error_response(standby.error());
    co_return http::json_response(200, json::Object{{"expires_ms", (*standby)->expires_ms},
                                                    {"has_layer", (*standby)->has_layer}});
  });
  router.on("DELETE", "/v1/standbys/{s}", [this](http::Request request) -> Task<http::Response> {
    const auto standby = find(request);
    if (!standby) co_return http::error_response(standby.error());
    const auto receipt = co_await close(*standby, "released");
    if (!receipt) co_return http::error_response(receipt.error());
    co_return http::json_response(200, json::Object{{"receipt", receipt->to_json()}});
  });
}

Result<GivenStandbys::StandbyPtr> GivenStandbys::find(const http::Request& request) const {
  const auto id = request.params.find("s");
  for (const auto& [icon, standby] : standbys_) {
    if (id == request.params.end() || standby->order.standby_id != id->second) continue;
    if (!request.peer_key || *request.peer_key != standby->holder)
      return fail(Code::kUnauthenticated, "only its holder may speak of a standby");
    return standby;
  }
  return fail(Code::kNotFound, "no such standby here");
}

// Nothing of this host has changed when it fails.
Result<GivenStandbys::StandbyPtr> GivenStandbys::check(const http::Request& request,
                                                       const json::Object& body) const {
  const UtcMillis now = host_.clock.utc_ms();
  if (!request.peer_key) return fail(Code::kUnauthenticated, "no key");
  ICON_TRY(const auto contract, get_envelope(body, "contract"));
  ICON_TRY(const auto terms, contracts_.usable(contract, *request.peer_key));
  ICON_TRY(const auto envelope, get_envelope(body, "order"));
  ICON_TRY(const auto order, wire::open<wire::StandbyOrder>(envelope));
  ICON_CHECK(wire::check_times(order.issued_ms, order.expires_ms, now));
  if (order.from != *request.peer_key || order.to != host_.key.public_key())
    return fail(Code::kUnauthenticated, "the order is for other hosts");
  auto standby = std::make_shared<Standby>();
  standby->order = order;
  standby->holder = *request.peer_key;
  standby->since = host_.clock.steady();
  standby->expires_ms =
      std::min(order.expires_ms, now + host_.config.continuity.standby_seconds * 1000);
  standby->terms = terms;
  IconRecord& icon = standby->icon;
  icon.id = order.icon.id();
  icon.epoch = order.epoch;
  icon.overlay = wire::overlay_address(order.icon);
  ICON_TRY(icon.name, json::get_string(body, "name", 63));
  ICON_TRY(icon.image_digest, json::get_string(body, "image", 64));
  if (!is_digest(icon.image_digest)) return fail(Code::kInvalid, "field 'image' is no digest");
  icon.lower_dir = host_.containers->image_rootfs(icon.image_digest);
  ICON_TRY(const auto* spec, json::get_object(body, "spec"));
  ICON_TRY(icon.spec, ContainerSpec::from_json(*spec));
  ICON_CHECK(check_place(*standby));
  ICON_CHECK(host_.journal->use_nonce("standby", order.standby_id, order.expires_ms));
  return standby;
}

// Whether this host may and can keep it now.
Status GivenStandbys::check_place(const Standby& standby) const {
  const std::string& id = standby.icon.id;
  ICON_CHECK(host_.journal->check_epoch(id, standby.order.epoch + 1));
  ICON_TRY(const auto row, host_.journal->find_icon(id));
  if (!is_elsewhere(row) || is_leaving_(id))
    return fail(Code::kConflict, "this ICON is on this host, or is just leaving it");
  if (removals_.contains(id))
    return fail(Code::kConflict, "what was kept for this ICON is just being removed");
  ICON_CHECK(host_.market->check_open());
  wire::Resources wanted = standby.icon.spec.resources;
  std::int64_t count = 1;
  for (const auto& [icon, other] : standbys_) {
    if (icon == id || other->holder != standby.holder) continue;
    add(wanted, other->icon.spec.resources);
    ++count;
  }
  if (count > standby.terms.standbys_max || !standby.terms.resources.covers(wanted))
    return fail(Code::kLimit, "the contract is used up");
  ICON_TRY(const auto room, host_.market->free(id));
  if (!room.covers(standby.icon.spec.resources))
    return fail(Code::kLimit, "this host has no room left");
  return {};
}

Task<Result<json::Object>> GivenStandbys::open(const http::Request& request) {
  ICON_CO_TRY(const auto body, json::parse_object(request.body, ContainerSpec::kJsonBytesMax));
  ICON_CO_TRY(const auto fresh, check(request, body));
  StandbyPtr standby = fresh;
  const auto old = standbys_.find(fresh->icon.id);
  if (old != standbys_.end()) {
    const StandbyPtr before = old->second;
    if (before->busy || before->order.epoch > fresh->order.epoch)
      co_return fail(Code::kConflict, "what is kept for this ICON is newer, or being prepared");
    ICON_CO_TRY(const bool anew, json::get_bool(body, "anew"));
    const bool same = before->holder == fresh->holder && before->icon.spec == fresh->icon.spec &&
                      before->icon.image_digest == fresh->icon.image_digest &&
                      before->order.epoch == fresh->order.epoch && !anew;
    if (same) {  // a renewal: what has been staged stays
      standby = before;
      standby->order = fresh->order;
      standby->expires_ms = fresh->expires_ms;
      standby->terms = fresh->terms;
    } else {
      (void)co_await close(before, "lost");
      if (standbys_.contains(fresh->icon.id))
        co_return fail(Code::kConflict, "another standby of this ICON was quicker");
      // The ICON itself may have come meanwhile, or somebody may have bought the room.
      ICON_CO_CHECK(check_place(*fresh));
    }
  }
  if (standby == fresh) {
    standbys_[fresh->icon.id] = fresh;
    fresh->busy = true;
    if (const auto noted = note_all(); !noted)
      log::error("standby.not_noted", {{"error", noted.error().message}});
  }
  const auto answer = co_await prepare(*standby, body);
  standby->busy = false;
  if (!answer) (void)co_await close(standby, "lost");
  co_return answer;
}

// Also of a renewal, whose tunnel may have got another end meanwhile. All of it may be repeated.
Task<Result<json::Object>> GivenStandbys::prepare(Standby& standby, const json::Object& body) {
  const std::string peer = standby.holder.id();
  ICON_CO_TRY(const auto* tunnel, json::get_object(body, "tunnel"));
  ICON_CO_TRY(const auto remote, tunnel_from_json(*tunnel));
  const auto* sibling = contracts_.sibling(standby.holder);
  if (sibling == nullptr) co_return fail(Code::kUnauthenticated, "no sibling any more");
  ICON_CO_TRY(const auto local, host_.network->open_tunnel(peer));
  ICON_CO_CHECK(host_.network->connect_tunnel(peer, remote));
  ICON_CO_CHECK(host_.journal->put_tunnel(peer, tunnel_row(sibling->api, remote)));
  std::error_code error;
  if (!std::filesystem::exists(host_.containers->paths(standby.icon.id).directory, error)) {
    ICON_CO_CHECK(host_.containers->make_directories(standby.icon.id, standby.icon.spec));
    auto network = icon_network(host_, standby.icon);
    network.stub_hosts.assign(1, peer);
    network.previous_host = peer;
    ICON_CO_CHECK(host_.network->attach_held(network));
  }
  log::info("standby.given", {{"icon", standby.icon.id},
                              {"standby", standby.order.standby_id},
                              {"holder", peer},
                              {"expires_ms", standby.expires_ms}});
  co_return json::Object{{"has_image", std::filesystem::exists(standby.icon.lower_dir, error)},
                         {"has_layer", standby.has_layer},
                         {"expires_ms", standby.expires_ms},
                         {"tunnel", tunnel_to_json(local)}};
}

Task<bool> GivenStandbys::take(StandbyClaim claim) {
  co_await until_removed(claim.icon);
  const auto found = standbys_.find(claim.icon);
  if (found == standbys_.end()) co_return false;
  const StandbyPtr standby = found->second;
  const bool fits = !claim.standby_id.empty() && standby->order.standby_id == claim.standby_id &&
                    standby->holder == claim.from && standby->has_layer && !standby->busy &&
                    standby->icon.image_digest == claim.digest &&
                    standby->icon.spec == *claim.spec && standby->expires_ms > host_.clock.utc_ms();
  if (!fits) {
    (void)co_await close(standby, "lost");
    co_return false;
  }
  standbys_.erase(found);
  noted_ = false;  // once the move is journalled: till then the next start has to find it
  (void)receipt(*standby, "used");
  co_return true;
}

Task<void> GivenStandbys::end(std::string icon, std::string why) {
  co_await until_removed(icon);
  const auto found = standbys_.find(icon);
  if (found == standbys_.end()) co_return;
  const StandbyPtr standby = found->second;
  log::info("standby.ended", {{"icon", icon}, {"why", why}});
  (void)co_await close(standby, "lost");
}

Task<Result<wire::Envelope>> GivenStandbys::close(StandbyPtr standby, std::string end) {
  const auto found = standbys_.find(standby->icon.id);
  if (found != standbys_.end() && found->second == standby) {
    standbys_.erase(found);
    co_await remove(standby->icon.id);
    close_unused_tunnel(host_, standby->holder.id());
    if (const auto noted = note_all(); !noted) co_return fail(noted.error());
  }
  co_return receipt(*standby, std::move(end));
}

// A move that comes meanwhile would lose its directories, its network and its processes with it.
Task<void> GivenStandbys::until_removed(std::string icon) {
  const auto found = removals_.find(icon);
  if (found == removals_.end()) co_return;
  const auto removal = found->second;
  co_await removal->async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
}

Task<void> GivenStandbys::remove(std::string icon) {
  const auto done = std::make_shared<boost::asio::steady_timer>(host_.loop, SteadyTime::max());
  removals_[icon] = done;
  const auto destroyed = co_await host_.containers->destroy(icon);
  const auto detached = host_.network->detach(icon);
  for (const auto& status : {destroyed, detached})
    if (!status && status.error().code != Code::kNotFound)
      log::warn("standby.cleanup_failed", {{"icon", icon}, {"error", status.error().message}});
  removals_.erase(icon);
  done->cancel();
}

// What it was worth, told to both: among one owner's hosts nobody pays, but nothing is free.
Result<wire::Envelope> GivenStandbys::receipt(const Standby& standby, std::string end) const {
  wire::StandbyReceipt receipt;
  receipt.provider = host_.key.public_key();
  receipt.holder = standby.holder;
  receipt.icon = standby.order.icon;
  receipt.standby_id = standby.order.standby_id;
  receipt.end = std::move(end);
  receipt.resources = standby.icon.spec.resources;
  receipt.kept_ms =
      std::chrono::duration_cast<Millis>(host_.clock.steady() - standby.since).count();
  receipt.staged_bytes = standby.staged_bytes;
  ICON_TRY(receipt.price_ucredits,
           host_.config.prices.price_of(receipt.resources, receipt.kept_ms / 1000 + 1));
  receipt.issued_ms = host_.clock.utc_ms();
  log::info("standby.closed", {{"icon", standby.icon.id},
                               {"standby", receipt.standby_id},
                               {"end", receipt.end},
                               {"kept_ms", receipt.kept_ms},
                               {"staged_bytes", receipt.staged_bytes},
                               {"price_ucredits", receipt.price_ucredits}});
  return wire::seal(host_.key, receipt);
}

Task<void> GivenStandbys::expire() {
  if (!std::exchange(noted_, true)) (void)note_all();
  std::vector<StandbyPtr> over;
  const UtcMillis now = host_.clock.utc_ms();
  for (const auto& [icon, standby] : standbys_)
    if (!standby->busy && standby->expires_ms <= now) over.push_back(standby);
  for (const auto& standby : over) {
    // While another went it may have been renewed, filled, or taken.
    const auto found = standbys_.find(standby->icon.id);
    if (found == standbys_.end() || found->second != standby) continue;
    if (standby->busy || standby->expires_ms > now) continue;
    (void)co_await close(standby, "expired");
  }
}

Status GivenStandbys::note_all() const {
  json::Array icons;
  for (const auto& [icon, standby] : standbys_) icons.emplace_back(icon);
  return host_.journal->put_value(kNotedKey, boost::json::serialize(icons));
}

Task<void> GivenStandbys::recover() {
  const auto text = host_.journal->value(kNotedKey);
  if (!text || !*text || (*text)->size() > kNotedBytesMax) co_return;
  boost::system::error_code bad;
  const auto noted = boost::json::parse(**text, bad);
  if (!noted.is_array()) co_return;
  for (const auto& value : noted.get_array()) {
    if (!value.is_string()) continue;
    std::string icon(value.get_string());
    const auto row = host_.journal->find_icon(icon);
    // A move may have taken it before we died.
    if (row && is_elsewhere(*row)) co_await remove(std::move(icon));
  }
  (void)note_all();
}

wire::Resources GivenStandbys::set_aside(std::string_view except) const {
  wire::Resources sum;
  for (const auto& [icon, standby] : standbys_)
    if (icon != except) add(sum, standby->icon.spec.resources);
  return sum;
}

std::set<std::string> GivenStandbys::icons() const {
  std::set<std::string> icons;
  for (const auto& [icon, standby] : standbys_) icons.insert(icon);
  return icons;
}

json::Array GivenStandbys::describe() const {
  json::Array all;
  for (const auto& [icon, standby] : standbys_)
    all.emplace_back(json::Object{{"icon", icon},
                                  {"name", standby->icon.name},
                                  {"role", "given"},
                                  {"sibling", standby->holder.id()},
                                  {"ready", standby->has_layer},
                                  {"staged_bytes", standby->staged_bytes},
                                  {"expires_ms", standby->expires_ms}});
  return all;
}

}  // namespace icon::supervisor
