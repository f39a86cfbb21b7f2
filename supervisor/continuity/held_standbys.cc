#include "supervisor/continuity/held_standbys.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/json/serialize.hpp>

#include "base/encoding.h"
#include "base/log.h"
#include "migration/worker.h"
#include "supervisor/host.h"
#include "supervisor/move_parts.h"
#include "supervisor/peer_client.h"
#include "supervisor/tunnel_uses.h"

namespace icon::supervisor {
namespace {

constexpr Millis kCallLimit{10'000};
constexpr Millis kConsentPatience{5'000};  // then the agent is asked again
constexpr Millis kRetryFirst{2'000};
constexpr Millis kRetryMax{60'000};
constexpr Millis kLookEvery{15'000};  // also keeps the connection open that a move will use
constexpr std::int64_t kRenewAtPart = 3;
constexpr std::size_t kStandbyIdBytes = 16;

}  // namespace

struct HeldStandbys::Standby {
  enum class State { kIdle, kAsked, kFilling, kReady };
  State state = State::kIdle;
  std::string asked_id;    // of the question to the agent that is open
  std::string standby_id;  // of what the sibling keeps; empty: nothing
  UtcMillis issued_ms = 0;
  UtcMillis expires_ms = 0;
  SteadyTime next{};  // of whatever is to be done
  Millis retry = kRetryFirst;
  migration::TreeSnapshot layer;
  TunnelUses::Use tunnel_use;
};

HeldStandbys::~HeldStandbys() = default;

// Till something is to be done about one that is ready.
Millis HeldStandbys::rest_of(const Standby& standby) const {
  const auto whole = standby.expires_ms - standby.issued_ms;
  const auto left = standby.expires_ms - host_.clock.utc_ms();
  return std::clamp(Millis(left - whole / kRenewAtPart), Millis(0), kLookEvery);
}

bool HeldStandbys::is_current(const Key& key, const StandbyPtr& standby) const {
  const auto found = standbys_.find(key);
  return found != standbys_.end() && found->second == standby;
}

void HeldStandbys::tick(const Wanted& wanted) {
  for (auto each = standbys_.begin(); each != standbys_.end();) {
    const auto here = each++;
    if (wanted.contains(here->first) || here->second->state == Standby::State::kFilling) continue;
    give_back(here->first, *here->second);
    const std::string peer = here->first.second.id();
    standbys_.erase(here);
    close_unused_tunnel(host_, peer);
  }
  const auto now = host_.clock.steady();
  for (const auto& key : wanted) {
    auto& standby = standbys_[key];
    if (!standby) standby = std::make_shared<Standby>();
    if (standby->state == Standby::State::kFilling || now < standby->next) continue;
    const UtcMillis left = standby->expires_ms - host_.clock.utc_ms();
    const bool old = left < (standby->expires_ms - standby->issued_ms) / kRenewAtPart;
    if (standby->state == Standby::State::kReady && !old) {
      standby->next = now + rest_of(*standby);
      boost::asio::co_spawn(host_.loop, look(key, standby), boost::asio::detached);
    } else {
      ask_agent(key, *standby);
    }
  }
}

void HeldStandbys::ask_agent(const Key& key, Standby& standby) {
  const auto* sibling = contracts_.sibling(key.second);
  if (sibling == nullptr || !contracts_.held(key.second)) return;
  const auto icon = host_.journal->find_icon(key.first);
  if (!icon || !*icon || (*icon)->state != icon_state::kRunning) return;
  standby.asked_id = random_token(kStandbyIdBytes);
  if (standby.state == Standby::State::kIdle) standby.state = Standby::State::kAsked;
  standby.next = host_.clock.steady() + kConsentPatience;
  host_.events.publish(EventHub::icon_topic(key.first),
                       {{"event", "standby"},
                        {"standby", standby.asked_id},
                        {"to", json::Object{{"id", sibling->id.id()},
                                            {"name", sibling->name},
                                            {"domain", sibling->domain}}},
                        {"seconds", host_.config.continuity.standby_seconds}});
}

Status HeldStandbys::consented(const std::string& icon, const wire::Envelope& envelope) {
  ICON_TRY(const auto order, wire::open<wire::StandbyOrder>(envelope));
  if (order.icon.id() != icon || order.from != host_.key.public_key())
    return fail(Code::kUnauthenticated, "the order is another ICON's, or for another host");
  ICON_CHECK(wire::check_times(order.issued_ms, order.expires_ms, host_.clock.utc_ms()));
  const Key key{icon, order.to};
  const auto found = standbys_.find(key);
  if (found == standbys_.end() || found->second->asked_id != order.standby_id)
    return fail(Code::kNotFound, "nobody has asked for that standby");
  const StandbyPtr standby = found->second;
  standby->asked_id.clear();
  standby->issued_ms = order.issued_ms;
  standby->state = Standby::State::kFilling;
  boost::asio::co_spawn(host_.loop, fill(key, standby, envelope), boost::asio::detached);
  return {};
}

Task<void> HeldStandbys::fill(Key key, StandbyPtr standby, wire::Envelope order) {
  const auto filled = co_await fill_in(key, *standby, std::move(order));
  const auto now = host_.clock.steady();
  if (!is_current(key, standby)) {
    standby->tunnel_use.reset();
    close_unused_tunnel(host_, key.second.id());
    co_return;
  }
  standby->state = filled ? Standby::State::kReady : Standby::State::kIdle;
  if (filled) {
    standby->next = now + rest_of(*standby);
    standby->retry = kRetryFirst;
    co_return;
  }
  standby->standby_id.clear();
  standby->next = now + standby->retry;
  standby->retry = std::min(standby->retry * 2, kRetryMax);
  log::warn("standby.not_held",
            {{"icon", key.first}, {"sibling", key.second.id()}, {"error", filled.error().message}});
}

Task<Status> HeldStandbys::fill_in(Key key, Standby& standby, wire::Envelope order) {
  const auto contract = contracts_.held(key.second);
  if (!contract) co_return fail(Code::kExpired, "there is no contract with that host any more");
  ICON_CO_TRY(auto icon, host_.journal->find_icon(key.first));
  if (!icon || icon->state != icon_state::kRunning)
    co_return fail(Code::kConflict, "the ICON does not run here");
  if (icon->image_digest.empty()) {
    auto digest = [lower = icon->lower_dir] { return migration::tree_digest(lower); };
    ICON_CO_TRY(const auto found, co_await migration::run_on(worker_pool(), std::move(digest)));
    // The row may have changed meanwhile: only this of it is ours.
    ICON_CO_TRY(icon, host_.journal->find_icon(key.first));
    if (!icon || icon->state != icon_state::kRunning)
      co_return fail(Code::kConflict, "the ICON does not run here any more");
    icon->image_digest = found;
    ICON_CO_CHECK(host_.journal->put_icon(*icon));
  }
  const std::string peer = key.second.id();
  standby.tunnel_use = host_.tunnel_uses.of(peer);
  ICON_CO_TRY(const auto local, host_.network->open_tunnel(peer));
  ICON_CO_TRY(const auto opened, wire::open<wire::StandbyOrder>(order));
  json::Object body{{"contract", contract->to_json()},
                    {"order", order.to_json()},
                    {"name", icon->name},
                    {"spec", icon->spec.to_json()},
                    {"image", icon->image_digest},
                    {"tunnel", tunnel_to_json(local)},
                    {"anew", standby.standby_id.empty()}};
  const auto said = co_await call(key.second, "POST", "/v1/standbys", std::move(body));
  if (!said && said.error().code == Code::kExpired) contracts_.lost(key.second);
  ICON_CO_TRY(const auto answer, said);
  ICON_CO_TRY(const auto* tunnel, json::get_object(answer, "tunnel"));
  ICON_CO_TRY(const auto remote, tunnel_from_json(*tunnel));
  ICON_CO_CHECK(host_.network->connect_tunnel(peer, remote));
  ICON_CO_TRY(standby.expires_ms, json::get_int(answer, "expires_ms", 0, opened.expires_ms));
  ICON_CO_TRY(const bool has_image, json::get_bool(answer, "has_image"));
  ICON_CO_TRY(const bool has_layer, json::get_bool(answer, "has_layer"));
  standby.standby_id = opened.standby_id;
  if (has_layer) co_return Status{};  // renewed
  const std::string target = "/v1/standbys/" + standby.standby_id;
  if (!has_image) {
    std::vector<migration::TreePart> image{{"image", icon->lower_dir}};
    ICON_CO_CHECK(co_await upload(key, target + "/image", std::move(image)));
  }
  const auto paths = host_.containers->paths(key.first);
  auto scan = [upper = paths.upper] { return migration::scan_tree(upper); };
  ICON_CO_TRY(standby.layer, co_await migration::run_on(worker_pool(), std::move(scan)));
  // No more and no less than what was seen: a move tells the rest from that.
  const auto seen = migration::paths_of(standby.layer);
  std::vector<migration::TreePart> layer{{"upper", paths.upper, &seen},
                                         {"bin", paths.run + "/bin"}};
  ICON_CO_CHECK(co_await upload(key, target + "/layer", std::move(layer)));
  log::info("standby.held", {{"icon", key.first},
                             {"sibling", peer},
                             {"standby", standby.standby_id},
                             {"expires_ms", standby.expires_ms}});
  co_return Status{};
}

Task<Result<json::Object>> HeldStandbys::call(const PublicKey& key, std::string method,
                                              std::string target, json::Value body) {
  const auto* sibling = contracts_.sibling(key);
  if (sibling == nullptr) co_return fail(Code::kNotFound, "no sibling any more");
  PeerRequest request;
  request.api = sibling->api;
  request.peer = sibling->id;
  request.method = std::move(method);
  request.target = std::move(target);
  if (!body.is_null()) request.body = boost::json::serialize(body);
  request.total_timeout = kCallLimit;
  ICON_CO_TRY(const auto answer, co_await host_.peers->call(std::move(request)));
  ICON_CO_TRY(const auto text, http::body_or_error(answer.response));
  co_return json::parse_object(text, kPeerAnswerBytesMax);
}

Task<Status> HeldStandbys::upload(const Key& key, std::string target,
                                  std::vector<migration::TreePart> parts) {
  const auto* sibling = contracts_.sibling(key.second);
  if (sibling == nullptr) co_return fail(Code::kNotFound, "no sibling any more");
  ICON_CO_TRY(auto source, migration::TarSource::start(co_await boost::asio::this_coro::executor,
                                                       std::move(parts)));
  UploadOf body(*source);
  PeerRequest request;
  request.api = sibling->api;
  request.peer = sibling->id;
  request.method = "PUT";
  request.target = std::move(target);
  request.upload = &body;
  ICON_CO_TRY(const auto answer, co_await host_.peers->call(std::move(request)));
  ICON_CO_TRY(const auto text, http::body_or_error(answer.response));
  co_return Status{};
}

// The sibling may have been restarted, or have ended it.
Task<void> HeldStandbys::look(Key key, StandbyPtr standby) {
  const auto answer =
      co_await call(key.second, "GET", "/v1/standbys/" + standby->standby_id, nullptr);
  if (answer || !is_current(key, standby) || standby->state != Standby::State::kReady) co_return;
  log::warn("standby.lost",
            {{"icon", key.first}, {"sibling", key.second.id()}, {"error", answer.error().message}});
  standby->state = Standby::State::kIdle;
  standby->standby_id.clear();
  standby->next = host_.clock.steady() + standby->retry;
}

void HeldStandbys::give_back(const Key& key, const Standby& standby) {
  const auto* sibling = contracts_.sibling(key.second);
  if (sibling == nullptr || standby.standby_id.empty()) return;
  send_in_background(host_, sibling->api, sibling->id, "DELETE",
                     "/v1/standbys/" + standby.standby_id);
}

std::optional<ReadyStandby> HeldStandbys::ready(const std::string& icon,
                                                const PublicKey& sibling) const {
  const auto found = standbys_.find({icon, sibling});
  if (found == standbys_.end()) return std::nullopt;
  const Standby& standby = *found->second;
  if (standby.state != Standby::State::kReady || standby.expires_ms <= host_.clock.utc_ms())
    return std::nullopt;
  return ReadyStandby{standby.standby_id, standby.layer};
}

void HeldStandbys::forget(const std::string& icon, const PublicKey& sibling) {
  standbys_.erase({icon, sibling});
}

json::Array HeldStandbys::describe() const {
  json::Array all;
  for (const auto& [key, standby] : standbys_)
    all.emplace_back(json::Object{{"icon", key.first},
                                  {"role", "held"},
                                  {"sibling", key.second.id()},
                                  {"ready", standby->state == Standby::State::kReady},
                                  {"expires_ms", standby->expires_ms}});
  return all;
}

}  // namespace icon::supervisor
