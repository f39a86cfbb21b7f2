#include "supervisor/movable.h"

#include <boost/asio/thread_pool.hpp>
#include <boost/json/serialize.hpp>

#include "base/encoding.h"
#include "base/log.h"
#include "migration/movable/movable.h"
#include "migration/worker.h"
#include "supervisor/host.h"
#include "supervisor/mover.h"
#include "supervisor/traits.h"

namespace icon::supervisor {
namespace {

constexpr std::size_t kObstaclesLoggedMax = 32;
constexpr std::size_t kAnswerBytesMax = 256 << 10;
constexpr std::int64_t kSlotSeconds = 3'600;
constexpr Millis kConnectLimit{3'000};
constexpr Millis kAnswerLimit{5'000};

// A thread of its own: it visits network namespaces.
boost::asio::thread_pool& looking_pool() {
  static boost::asio::thread_pool pool(1);
  return pool;
}

Task<Result<migration::MovableReport>> look(Host& host, std::string icon_id) {
  const auto process = host.containers->running(icon_id);
  if (!process) co_return fail(Code::kConflict, "the ICON has no process");
  migration::Provisions provisions;
  for (const auto& mount : host.containers->external_mounts(icon_id))
    provisions.external_mounts.insert(mount.mountpoint);
  provisions.quiescing = process->pid;  // the agent
  provisions.carries_other_users = co_await host.mover->carries_other_users();
  auto work = [pid = process->pid, provisions = std::move(provisions)] {
    return migration::check_movable(pid, provisions);
  };
  co_return co_await migration::run_on(looking_pool(), std::move(work));
}

struct Destination {
  Endpoint api;
  std::optional<PublicKey> key;
};

// Providers of the configuration, then those that the agent of that ICON, if any, has found.
Result<Destination> find_destination(Host& host, const std::string& icon_id,
                                     const std::string& to) {
  for (const auto& provider : host.config.providers)
    if (provider.name == to || provider.id.id() == to || provider.api.to_string() == to)
      return Destination{provider.api, provider.id};
  const auto* found = host.icons->status(icon_id).if_contains("providers");
  if (found != nullptr && found->is_array())
    for (const auto& item : found->get_array()) {
      if (!item.is_object()) continue;
      const auto& provider = item.get_object();
      const auto name = json::get_string(provider, "name");
      const auto id = json::get_string(provider, "id", 64);
      const auto api = json::get_string(provider, "api", 64);
      if (!name || !id || !api || (*name != to && *id != to && *api != to)) continue;
      ICON_TRY(const auto key, PublicKey::from_id(*id));
      ICON_TRY(const auto endpoint, Endpoint::parse(*api));
      return Destination{endpoint, key};
    }
  if (const auto endpoint = Endpoint::parse(to)) return Destination{*endpoint, std::nullopt};
  return fail(Code::kNotFound, "no provider " + to + " is known here; see `icon providers`");
}

// An offer is what a stranger gets for the asking: it reserves nothing, and there is none when
// there is no room.
Task<Status> ask_for_room(Host& host, Destination destination, wire::Resources resources) {
  PeerRequest call;
  call.api = destination.api;
  call.peer = destination.key;
  call.method = "POST";
  call.target = "/v1/offers";
  call.body = boost::json::serialize(json::Object{{"nonce", random_token(16)},
                                                  {"resources", resources.to_json()},
                                                  {"slot_seconds", kSlotSeconds}});
  call.connect_timeout = kConnectLimit;
  call.total_timeout = kAnswerLimit;
  call.response_bytes_max = kAnswerBytesMax;
  ICON_CO_TRY(const auto answer, co_await host.peers->call(std::move(call)));
  ICON_CO_CHECK(http::body_or_error(answer.response));
  co_return Status{};
}

struct Question {
  std::string to;
  std::string icon_id;  // "": none in particular
  wire::Resources resources;
  migration::TraitNeeds needs;
};

// {"to","has_room","error","known","traits","obstacles"}: `known` is false when it does not tell
// what it can do; then nothing is held against it.
Task<json::Object> describe_destination(Host& host, Question question) {
  json::Object answer{{"to", question.to}, {"has_room", false}, {"error", ""},
                      {"known", false},    {"traits", nullptr}, {"obstacles", json::Array()}};
  const auto destination = find_destination(host, question.icon_id, question.to);
  if (!destination) {
    answer["error"] = destination.error().message;
    co_return answer;
  }
  if (destination->key == host.key.public_key()) {
    answer["error"] = "that is this host";
    co_return answer;
  }
  const auto room = co_await ask_for_room(host, *destination, question.resources);
  answer["has_room"] = room.has_value();
  if (!room) answer["error"] = room.error().message;
  if (!room && room.error().code != Code::kRefused && room.error().code != Code::kLimit)
    co_return answer;  // nobody is there, or somebody else
  const auto there = co_await ask_traits(host, destination->api, destination->key);
  if (!there) log::warn("traits.ask", {{"to", question.to}, {"error", there.error().message}});
  if (!there || !*there) co_return answer;
  const auto here = co_await host.mover->traits();
  json::Array list;
  for (const auto& found : migration::find_host_obstacles(here, **there, question.needs))
    list.emplace_back(found.to_json());
  answer["known"] = true;
  answer["traits"] = (*there)->to_json();
  answer["obstacles"] = std::move(list);
  co_return answer;
}

// Whether nothing is known that would make a move there fail.
bool is_fit(const json::Object& destination) {
  for (const auto& found : destination.at("obstacles").as_array())
    if (found.at("blocks").as_bool()) return false;
  return destination.at("has_room").as_bool();
}

}  // namespace

Task<Result<json::Value>> describe_hosts(Host& host, http::Request request) {
  const std::string to = request.query["to"];
  if (to.empty()) {
    const auto traits = co_await host.mover->traits();
    co_return json::Value(traits.to_json());
  }
  Question question;
  question.to = to;
  auto answer = co_await describe_destination(host, std::move(question));
  answer["fit"] = is_fit(answer);
  co_return json::Value(std::move(answer));
}

Task<Result<json::Value>> describe_movable(Host& host, http::Request request) {
  ICON_CO_TRY(const auto icon, host.icons->find(request.params["id"]));
  if (icon.state != icon_state::kRunning)
    co_return fail(Code::kConflict, "ICON " + icon.name + " is " + icon.state);
  ICON_CO_TRY(const auto report, co_await look(host, icon.id));
  auto answer = report.to_json();
  answer["icon"] = icon.id;
  answer["name"] = icon.name;
  if (const std::string to = request.query["to"]; !to.empty()) {
    const auto process = host.containers->running(icon.id);
    Question question;
    question.to = to;
    question.icon_id = icon.id;
    question.resources = icon.spec.resources;
    question.needs.ipv6_sockets = process && migration::has_ipv6_sockets(process->pid);
    auto destination = co_await describe_destination(host, std::move(question));
    answer["movable"] = report.movable() && is_fit(destination);
    answer["destination"] = std::move(destination);
  }
  co_return answer;
}

Task<Status> refuse_unmovable(Host& host, std::string icon_id, std::string migration_id) {
  const auto report = co_await look(host, icon_id);
  if (!report) {
    log::warn("migration.unchecked",
              {{"migration", migration_id}, {"error", report.error().message}});
    co_return Status{};
  }
  std::size_t told = 0;
  for (const auto& obstacle : report->obstacles)
    if (told++ < kObstaclesLoggedMax)
      log::warn(obstacle.blocks ? "migration.obstacle" : "migration.stays_behind",
                {{"migration", migration_id},
                 {"kind", obstacle.kind},
                 {"pid", obstacle.pid},
                 {"what", obstacle.to_string()},
                 {"fix", obstacle.fix}});
  if (report->movable()) co_return Status{};
  co_return fail(Code::kRefused, "it cannot move: " + migration::summary(*report) +
                                     "; `icon check " + icon_id + "` says what to do");
}

}  // namespace icon::supervisor
