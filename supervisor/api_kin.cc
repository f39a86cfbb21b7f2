// Between an ICON and its replicas: carries their words from host to host, and leads users from one
// to the other. What the words say is the agents' affair.
#include <map>
#include <memory>

#include "base/log.h"
#include "supervisor/api.h"
#include "supervisor/api_parts.h"
#include "supervisor/host.h"
#include "supervisor/stubs.h"

namespace icon::supervisor {
namespace {

constexpr Millis kPeerConnect{3'000};
constexpr Millis kPeerAnswer{8'000};
constexpr std::size_t kDocumentsMax = 4;
constexpr std::size_t kDocumentBytesMax = 32 << 10;
constexpr std::size_t kAnswerBytesMax = 16 << 10;
constexpr std::size_t kGroupsMax = 64;
constexpr std::int64_t kRememberSecondsMax = 300;
// Strangers may call: an ICON hears so much in a second, and no more.
constexpr int kHeardPerSecondMax = 16;
constexpr std::size_t kCountedIconsMax = 1024;

Result<json::Array> documents_of(const json::Object& body) {
  ICON_TRY(const auto* documents, json::get_array(body, "documents", kDocumentsMax));
  std::size_t bytes = 0;
  for (const auto& document : *documents) {
    ICON_TRY([[maybe_unused]] const auto envelope, wire::parse_envelope(document));
    bytes += boost::json::serialize(document).size();
  }
  if (bytes > kDocumentBytesMax) return fail(Code::kLimit, "more than 32 KiB to say");
  return *documents;
}

Task<Result<json::Value>> carry_words(Host& host, http::Request request) {
  ICON_CO_TRY(const auto body, body_of(request));
  PeerRequest call;
  ICON_CO_TRY(const auto to, json::get_string(body, "to", 64));
  ICON_CO_TRY([[maybe_unused]] const auto key, PublicKey::from_id(to));
  ICON_CO_TRY(const auto api, json::get_string(body, "api", 64));
  ICON_CO_TRY(call.api, Endpoint::parse(api));
  ICON_CO_TRY(const auto id, json::get_string(body, "host", 64));
  ICON_CO_TRY(call.peer, PublicKey::from_id(id));
  ICON_CO_TRY(auto documents, documents_of(body));
  call.method = "POST";
  call.target = "/v1/kin/" + to;
  call.body = boost::json::serialize(json::Object{{"documents", std::move(documents)}});
  call.connect_timeout = kPeerConnect;
  call.total_timeout = kPeerAnswer;
  call.response_bytes_max = kAnswerBytesMax;
  ICON_CO_TRY(const auto answer, co_await host.peers->call(std::move(call)));
  ICON_CO_TRY(const auto text, http::body_or_error(answer.response));
  ICON_CO_TRY(auto object, json::parse_object(text, kAnswerBytesMax));
  co_return object;
}

// How much each ICON has heard in the present second.
struct Ears {
  std::int64_t second = 0;
  std::map<std::string, int> heard;

  bool take(const std::string& icon, UtcMillis now_ms) {
    if (now_ms / 1000 != second) heard.clear();
    second = now_ms / 1000;
    if (heard.size() >= kCountedIconsMax && !heard.contains(icon)) return false;
    return ++heard[icon] <= kHeardPerSecondMax;
  }
};

Result<json::Value> hear(Host& host, Ears& ears, http::Request& request) {
  const std::string& icon = request.params["icon"];
  ICON_TRY(const auto body, body_of(request));
  ICON_TRY(auto documents, documents_of(body));
  ICON_TRY(const auto stub, host.journal->find_stub(icon));
  if (stub && !host.icons->serves(icon))
    return json::Object{
        {"moved", json::Object{{"host", stub->next_host}, {"api", stub->next_api.to_string()}}}};
  if (!host.icons->serves(icon)) return fail(Code::kNotFound, "that ICON does not run here");
  if (!ears.take(icon, host.clock.utc_ms()))
    return fail(Code::kLimit, "that ICON hears enough already");
  const bool listens = host.events.listeners(EventHub::icon_topic(icon)) > 0;
  host.events.publish(EventHub::icon_topic(icon),
                      json::Object{{"event", "kin"}, {"documents", std::move(documents)}});
  return json::Object{{"delivered", listens}};
}

Result<std::vector<Prefix>> networks_of(const json::Object& group) {
  ICON_TRY(const auto* array, json::get_array(group, "networks", kGuidedNetworksMax));
  std::vector<Prefix> networks;
  for (const auto& value : *array) {
    if (!value.is_string()) return fail(Code::kInvalid, "a network is no text");
    ICON_TRY(const auto network, Prefix::parse(std::string_view(value.get_string())));
    networks.push_back(network);
  }
  return networks;
}

Result<Address> address_of(const json::Object& object, std::string_view key) {
  ICON_TRY(const auto text, json::get_string(object, key, 64));
  return Address::parse(text);
}

Result<Guided> read_guided(const json::Object& body) {
  Guided guided;
  ICON_TRY(guided.remember_s, json::get_int_or(body, "remember_s", 0, 0, kRememberSecondsMax));
  if (body.contains("everybody")) {
    ICON_TRY(const auto to, address_of(body, "everybody"));
    guided.everybody = to;
    return guided;
  }
  ICON_TRY(const auto* groups, json::get_array(body, "groups", kGroupsMax));
  for (const auto& value : *groups) {
    if (!value.is_object()) return fail(Code::kInvalid, "a group is no object");
    Guided::Group group;
    ICON_TRY(group.to, address_of(value.get_object(), "to"));
    ICON_TRY(group.networks, networks_of(value.get_object()));
    guided.groups.push_back(std::move(group));
  }
  return guided;
}

Task<Result<json::Value>> guide_users(Host& host, http::Request request) {
  ICON_CO_TRY(const auto icon, host.journal->find_icon(request.icon_id));
  if (!icon) co_return fail(Code::kNotFound, "this host does not know the ICON");
  ICON_CO_TRY(const auto body, body_of(request));
  ICON_CO_TRY(auto guided, read_guided(body));
  log::info("kin.guide", {{"icon", icon->id},
                          {"groups", guided.groups.size()},
                          {"everybody", guided.everybody ? guided.everybody->to_string() : ""}});
  ICON_CO_CHECK(co_await host.mover->guide(*icon, std::move(guided)));
  co_return json::Value();
}

// How a replication that the agent has lost sight of stands.
Result<json::Value> show_migration(Host& host, http::Request& request) {
  ICON_TRY(const auto migration, host.journal->find_migration(request.params["id"]));
  if (!migration || migration->icon != request.icon_id || migration->role != "source")
    return fail(Code::kNotFound, "no such migration of this ICON");
  return json::Object{{"state", migration->state}};
}

}  // namespace

void add_kin_routes(http::Router& router, Host& host) {
  router.on("POST", "/v1/self/kin", answering(200, [&host](http::Request request) {
              return carry_words(host, std::move(request));
            }));
  router.on("PUT", "/v1/self/guidance", answering(204, [&host](http::Request request) {
              return guide_users(host, std::move(request));
            }));
  router.on("GET", "/v1/self/migrations/{id}",
            answering(200, [&host](http::Request request) -> Task<Result<json::Value>> {
              co_return show_migration(host, request);
            }));
}

void add_kin_peer_routes(http::Router& router, Host& host) {
  auto ears = std::make_shared<Ears>();
  router.on("POST", "/v1/kin/{icon}",
            answering(200, [&host, ears](http::Request request) -> Task<Result<json::Value>> {
              co_return hear(host, *ears, request);
            }));
}

}  // namespace icon::supervisor
