// The host's socket: what operators, the `icon` command and Prometheus ask.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/encoding.h"
#include "supervisor/api.h"
#include "supervisor/api_parts.h"
#include "supervisor/continuity/continuity.h"
#include "supervisor/host.h"
#include "supervisor/market_rules.h"
#include "supervisor/movable.h"
#include "supervisor/safe_path.h"

namespace icon::supervisor {
namespace {

constexpr Millis kPing{15'000};
constexpr std::int64_t kGraceMsMax = 10 * 60 * 1000;
constexpr std::int64_t kGraceMsDefault = 5'000;
constexpr std::size_t kDecisionsMax = 1'000;

// A stream has begun when its handler runs: what goes wrong is said as a line.
std::string problem_line(const Error& error) {
  return boost::json::serialize(json::Object{
      {"error", json::Object{{"code", to_string(error.code)}, {"message", error.message}}}});
}

// Rows that belong to a half-done transaction are nobody's business yet.
bool shown(const IconRecord& icon) {
  return icon.state != icon_state::kReserved && icon.state != icon_state::kStarting;
}

Result<json::Value> status_of(Host& host) {
  ICON_TRY(const auto icons, host.journal->icons());
  ICON_TRY(const auto stubs, host.journal->stubs());
  ICON_TRY(const auto free, host.market->free());
  ICON_TRY(const auto cordon, cordon_of(host));
  const auto running = std::count_if(icons.begin(), icons.end(), [](const IconRecord& icon) {
    return icon.state == icon_state::kRunning || icon.state == icon_state::kMigrating;
  });
  return json::Object{{"id", host.id},
                      {"provider_name", host.config.provider_name},
                      {"version", kVersion},
                      {"api", host.config.api.to_string()},
                      {"public_address", host.config.public_address.to_string()},
                      {"uptime_ms", host.clock.utc_ms() - host.started_ms},
                      {"icons", running},
                      {"stubs", stubs.size()},
                      {"tunnels", host.network->tunnels().size()},
                      {"capacity", host.config.capacity.to_json()},
                      {"free", free.to_json()},
                      {"cordon", cordon}};
}

Result<json::Value> list_icons(Host& host) {
  ICON_TRY(const auto icons, host.journal->icons());
  json::Array list;
  for (const auto& icon : icons)
    if (shown(icon)) list.emplace_back(host.icons->describe(icon));
  return json::Object{{"icons", std::move(list)}};
}

Task<Result<json::Value>> remove_icon(Host& host, http::Request request) {
  ICON_CO_TRY(const auto grace, query_int(request, "grace_ms", kGraceMsDefault, 0, kGraceMsMax));
  ICON_CO_TRY(const auto icon, host.icons->find(request.params["id"]));
  ICON_CO_TRY(const auto exit_status, co_await host.icons->remove(icon.id, Millis(grace)));
  json::Value value = nullptr;
  if (exit_status) value = *exit_status;
  co_return json::Object{{"exit_status", std::move(value)}};
}

// The operator's word for a provider as the agent gets it.
json::Object target_of(const Host& host, const std::string& to) {
  for (const auto& provider : host.config.providers)
    if (provider.name == to || provider.id.id() == to || provider.api.to_string() == to)
      return provider.to_json();
  if (Endpoint::parse(to)) return {{"api", to}};
  if (PublicKey::from_id(to)) return {{"id", to}};
  return {{"name", to}};
}

// `what`: "migrate" or "replicate".
Task<Result<json::Value>> ask_agent(Host& host, http::Request request, std::string what) {
  ICON_CO_TRY(const auto icon, host.icons->find(request.params["id"]));
  ICON_CO_TRY(const auto body, body_of(request));
  ICON_CO_TRY(const auto to, json::get_string(body, "to", 255));
  ICON_CO_TRY(const auto topic, co_await agent_topic(host, icon));
  const std::string id = random_token(12);
  host.events.publish(
      topic,
      json::Object{
          {"event", what}, {"to", target_of(host, to)}, {"reason", "operator"}, {"request", id}});
  co_return json::Object{{"request", id}};
}

Result<json::Value> set_hold(Host& host, http::Request request, bool hold) {
  ICON_TRY(auto icon, host.icons->find(request.params["id"]));
  icon.hold = hold;
  ICON_CHECK(host.journal->put_icon(icon));
  host.events.publish(EventHub::icon_topic(icon.id),
                      json::Object{{"event", hold ? "hold" : "unhold"}});
  return json::Value(host.icons->describe(icon));
}

json::Object short_form(const MigrationRecord& migration) {
  return {{"id", migration.id},
          {"icon", migration.icon},
          {"name", migration.icon_name},
          {"role", migration.role},
          {"peer", migration.peer},
          {"from", migration.from},
          {"to", migration.to},
          {"epoch", migration.epoch},
          {"state", migration.state},
          {"reason", migration.reason},
          {"error", migration.error},
          {"started_ms", migration.started_ms},
          {"ended_ms", migration.ended_ms},
          {"gap_us", migration.gap_us},
          {"bytes", migration.bytes}};
}

Result<json::Value> list_migrations(Host& host) {
  ICON_TRY(const auto migrations, host.journal->migrations());
  json::Array list;
  for (const auto& migration : migrations) list.emplace_back(short_form(migration));
  return json::Object{{"migrations", std::move(list)}};
}

Result<MigrationRecord> find_migration(Host& host, const std::string& id) {
  ICON_TRY(auto migration, host.journal->find_migration(id));
  if (!migration) return fail(Code::kNotFound, "no migration " + id);
  return std::move(*migration);
}

Result<json::Value> describe_migration(Host& host, http::Request request) {
  ICON_TRY(const auto migration, find_migration(host, request.params["id"]));
  auto object = short_form(migration);
  object["phases"] = migration.phases;
  object["standby"] = migration.details.contains("standby");
  object["evidence"] = migration.evidence;
  return json::Value(std::move(object));
}

// What has happened so far, then what happens, until it ends.
Task<void> stream_migration(Host& host, http::Request request, http::LineWriter& lines) {
  const std::string id = request.params["id"];
  // Listening comes first: nothing falls between the past and the present.
  auto listener = host.events.listen(EventHub::migration_topic(id));
  const auto migration = find_migration(host, id);
  if (!listener || !migration) {
    const std::string line = problem_line(!migration ? migration.error() : listener.error());
    (void)co_await lines.write_line(line);
    co_return;
  }
  for (const auto& phase : migration->phases) {
    json::Object line = phase.is_object() ? phase.get_object() : json::Object();
    line["phase"] = line["name"];
    line["state"] = "end";
    if (!co_await lines.write_line(boost::json::serialize(line))) co_return;
  }
  if (migration->ended_ms != 0) {
    auto line = short_form(*migration);
    (void)co_await lines.write_line(boost::json::serialize(line));
    co_return;
  }
  for (;;) {
    auto event = co_await (*listener)->next(kPing);
    if (!event && event.error().code != Code::kTimeout) co_return;
    if (!event) {
      // The end may have come without an event, through a restart of the daemon.
      const auto now = find_migration(host, id);
      if (!now || now->ended_ms != 0) co_return;
    }
    std::string line = R"({"event":"ping"})";
    if (event) line = std::move(*event);
    if (!co_await lines.write_line(std::move(line))) co_return;
  }
}

// Decisions outlive their ICON's row. Then its name, or the beginning of its id, is found in what
// is kept of its moves; its whole id always.
std::string past_icon(Host& host, const std::string& text) {
  const auto migrations = host.journal->migrations();  // the newest first
  if (!migrations) return text;
  for (const auto& migration : *migrations)
    if (migration.icon_name == text ||
        (text.size() >= Icons::kIdPrefixMin && migration.icon.starts_with(text)))
      return migration.icon;
  return text;
}

Result<json::Value> list_decisions(Host& host, http::Request request) {
  std::string icon_id;
  if (const auto& text = request.query["icon"]; !text.empty()) {
    const auto icon = host.icons->find(text);
    icon_id = icon ? icon->id : past_icon(host, text);
  }
  ICON_TRY(const auto decisions, host.journal->decisions(icon_id, kDecisionsMax));
  json::Array list;
  for (const auto& decision : decisions)
    list.emplace_back(json::Object{{"id", decision.id},
                                   {"icon", decision.icon},
                                   {"time_ms", decision.time_ms},
                                   {"outcome", decision.outcome},
                                   {"evidence", decision.evidence}});
  return json::Object{{"decisions", std::move(list)}};
}

// What the papers of a lease that this host sold say so far.
void add_bill(json::Object& row, const LeaseRecord& lease) {
  const auto papers = papers_of(lease);
  if (!papers) return;
  std::int64_t used_seconds = 0;
  for (const auto& segment : papers->segments) used_seconds += budget::lease::seconds_used(segment);
  row["renewals"] = papers->renewals;
  row["usages"] = papers->usages;
  row["used_seconds"] = used_seconds;
  row["charged_ucredits"] = budget::lease::charge(papers->segments);
}

Result<json::Value> list_leases(Host& host) {
  ICON_TRY(const auto leases, host.journal->leases());
  json::Array list;
  for (const auto& lease : leases) {
    json::Object row{{"lease_id", lease.lease_id},
                     {"icon", lease.icon},
                     {"provider", lease.provider},
                     {"role", lease.role},
                     {"resources", lease.resources.to_json()},
                     {"slot_seconds", lease.slot_seconds},
                     {"price_ucredits", lease.price_ucredits},
                     {"start_ms", lease.start_ms},
                     {"expires_ms", lease.expires_ms},
                     {"state", lease.state},
                     {"receipt", lease.receipt}};
    if (lease.role == "sold" && lease.state != "reserved" && lease.state != "lapsed")
      add_bill(row, lease);
    list.emplace_back(std::move(row));
  }
  return json::Object{{"leases", std::move(list)}};
}

Result<json::Value> list_stubs(Host& host) {
  ICON_TRY(const auto stubs, host.journal->stubs());
  json::Array list;
  for (const auto& stub : stubs)
    list.emplace_back(json::Object{{"icon", stub.icon},
                                   {"name", stub.icon_name},
                                   {"next_host", stub.next_host},
                                   {"next_api", stub.next_api.to_string()},
                                   {"next_public", stub.next_public.to_string()},
                                   {"mode", stub.mode},
                                   {"epoch", stub.epoch},
                                   {"until_ms", stub.until_ms}});
  return json::Object{{"stubs", std::move(list)}};
}

Result<json::Value> list_tunnels(Host& host) {
  json::Array list;
  for (const auto& tunnel : host.network->tunnels()) {
    json::Array icons;
    for (const auto& icon : tunnel.icons) icons.emplace_back(icon);
    list.emplace_back(json::Object{
        {"peer", tunnel.peer_id},
        {"interface", tunnel.interface},
        {"local", tunnel.local.endpoint.to_string()},
        {"remote", tunnel.remote.public_key.empty() ? "" : tunnel.remote.endpoint.to_string()},
        {"connected", !tunnel.remote.public_key.empty()},
        {"last_handshake_ms", tunnel.last_handshake_ms},
        {"rx_bytes", tunnel.rx_bytes},
        {"tx_bytes", tunnel.tx_bytes},
        {"dropped_packets", tunnel.dropped_packets},
        {"icons", std::move(icons)}});
  }
  return json::Object{{"tunnels", std::move(list)}};
}

using Plain = Result<json::Value> (*)(Host&);
using WithRequest = Result<json::Value> (*)(Host&, http::Request);

http::Handler plain(Host& host, int status, Plain function) {
  return answering(status, [&host, function](http::Request) -> Task<Result<json::Value>> {
    co_return function(host);
  });
}
http::Handler plain(Host& host, int status, WithRequest function) {
  return answering(status, [&host, function](http::Request request) -> Task<Result<json::Value>> {
    co_return function(host, std::move(request));
  });
}

Task<void> stream_logs(Host& host, http::Request request, http::LineWriter& lines) {
  const auto icon = host.icons->find(request.params["id"]);
  const auto count = query_int(request, "lines", 100, 0, 100'000);
  const std::string source = request.query.contains("source") ? request.query["source"] : "service";
  std::optional<Error> problem;
  if (!icon) problem = icon.error();
  if (!count) problem = count.error();
  if (source != "service" && source != "agent")
    problem = Error{Code::kInvalid, "source is neither service nor agent"};
  if (problem) {
    (void)co_await lines.write_line(problem_line(*problem));
    co_return;
  }
  co_await stream_log(host.containers->paths(icon->id).run, "/log/" + source + ".log",
                      static_cast<std::size_t>(*count), request.query["follow"] == "1", lines);
}

// A file that others write: at most so much of it goes out.
constexpr std::size_t kLedgerBytesMax = 16 << 20;

Result<std::string> read_beneath(const std::string& root, const std::string& path) {
  ICON_TRY(const auto fd, open_in_root(root, path, O_RDONLY | O_NONBLOCK, 0));
  struct stat info {};
  if (fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode))
    return fail(Code::kNotFound, path + " is no file");
  if (static_cast<std::size_t>(info.st_size) > kLedgerBytesMax)
    return fail(Code::kLimit, path + " is larger than a ledger of an ICON");
  std::string content(static_cast<std::size_t>(info.st_size), '\0');
  std::size_t count = 0;
  while (count < content.size()) {
    const auto got = ::read(fd.get(), content.data() + count, content.size() - count);
    if (got <= 0) break;
    count += static_cast<std::size_t>(got);
  }
  content.resize(count);
  return content;
}

// An ICON's ledger as it stands on its disk; ?before=1: the file before.
Task<http::Response> send_ledger(Host& host, http::Request request) {
  const auto icon = host.icons->find(request.params["id"]);
  if (!icon) co_return http::error_response(icon.error());
  const auto file = request.query["before"] == "1" ? budget::ledger::kDiaryFileBefore
                                                   : budget::ledger::kDiaryFile;
  auto content = read_beneath(host.containers->paths(icon->id).run, "/state/" + std::string(file));
  if (!content) co_return http::error_response(content.error());
  co_return http::Response{200, "application/vnd.sqlite3", std::move(*content)};
}

}  // namespace

void add_host_routes(http::Router& router, Host& host) {
  add_run_routes(router, host);
  add_map_reader(router, host);
  add_brake_routes(router, host);
  add_sale_host_routes(router, host);
  router.on("GET", "/v1/continuity",
            answering(200, [&host](http::Request) -> Task<Result<json::Value>> {
              co_return host.continuity->describe();
            }));
  router.on("GET", "/v1/status", plain(host, 200, &status_of));
  router.on("GET", "/v1/icons", plain(host, 200, &list_icons));
  router.on("GET", "/v1/icons/{id}",
            answering(200, [&host](http::Request request) -> Task<Result<json::Value>> {
              ICON_CO_TRY(const auto icon, host.icons->find(request.params["id"]));
              co_return host.icons->describe(icon);
            }));
  router.on("DELETE", "/v1/icons/{id}", answering(200, [&host](http::Request request) {
              return remove_icon(host, std::move(request));
            }));
  router.on_stream("GET", "/v1/icons/{id}/logs",
                   [&host](http::Request request, http::LineWriter& lines) -> Task<void> {
                     co_await stream_logs(host, std::move(request), lines);
                   });
  router.on("GET", "/v1/icons/{id}/ledger",
            [&host](http::Request request) { return send_ledger(host, std::move(request)); });
  router.on("POST", "/v1/icons/{id}/migrate", answering(202, [&host](http::Request request) {
              return ask_agent(host, std::move(request), "migrate");
            }));
  router.on("POST", "/v1/icons/{id}/replicate", answering(202, [&host](http::Request request) {
              return ask_agent(host, std::move(request), "replicate");
            }));
  router.on("GET", "/v1/icons/{id}/movable", answering(200, [&host](http::Request request) {
              return describe_movable(host, std::move(request));
            }));
  router.on("GET", "/v1/traits", answering(200, [&host](http::Request request) {
              return describe_hosts(host, std::move(request));
            }));
  router.on("POST", "/v1/icons/{id}/hold",
            answering(200, [&host](http::Request request) -> Task<Result<json::Value>> {
              co_return set_hold(host, std::move(request), true);
            }));
  router.on("POST", "/v1/icons/{id}/unhold",
            answering(200, [&host](http::Request request) -> Task<Result<json::Value>> {
              co_return set_hold(host, std::move(request), false);
            }));
  router.on("GET", "/v1/migrations", plain(host, 200, &list_migrations));
  router.on("GET", "/v1/migrations/{id}", plain(host, 200, &describe_migration));
  router.on_stream("GET", "/v1/migrations/{id}/events",
                   [&host](http::Request request, http::LineWriter& lines) -> Task<void> {
                     co_await stream_migration(host, std::move(request), lines);
                   });
  router.on("GET", "/v1/decisions", plain(host, 200, &list_decisions));
  router.on("GET", "/v1/leases", plain(host, 200, &list_leases));
  router.on("GET", "/v1/stubs", plain(host, 200, &list_stubs));
  router.on("GET", "/v1/tunnels", plain(host, 200, &list_tunnels));
  router.on("GET", "/metrics", [&host](http::Request) -> Task<http::Response> {
    std::string text = co_await render_metrics(host);
    co_return http::Response{200, "text/plain; version=0.0.4", std::move(text)};
  });
}

}  // namespace icon::supervisor
