#include "supervisor/icons.h"

#include <sys/stat.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/log.h"
#include "migration/transaction.h"
#include "supervisor/docker/docker_containers.h"
#include "supervisor/docker/image_root.h"
#include "supervisor/host.h"
#include "supervisor/move_parts.h"
#include "wire/overlay.h"

namespace icon::supervisor {
namespace {

constexpr unsigned kSocketMode = 0666;  // the directory above is for the container alone
constexpr Millis kEndGrace{0};
constexpr Millis kEvictGrace{5'000};
constexpr Millis kStopAllLimit{20'000};

http::Limits icon_socket_limits() {
  http::Limits limits;
  limits.connections_max = 32;
  limits.body_bytes_max = 1 << 20;
  return limits;
}

void warn_unless(const Status& status, const std::string& icon_id, const char* what) {
  if (!status)
    log::warn("icon.cleanup_failed",
              {{"icon", icon_id}, {"what", what}, {"error", status.error().message}});
}

Status check_root(const RunRequest& request) {
  if (request.image) return {};
  if (request.rootfs.empty() || request.rootfs.front() != '/')
    return fail(Code::kInvalid, "rootfs must be an absolute path");
  struct stat info {};
  if (stat(request.rootfs.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
    return fail(Code::kNotFound, "the root directory " + request.rootfs + " does not exist");
  return {};
}

}  // namespace

Icons::Icons(Host& host) : host_(host) {}
Icons::~Icons() = default;

Status Icons::check_room(const RunRequest& request) const {
  ICON_CHECK(host_.market->check_open());
  ICON_CHECK(request.spec.check());
  ICON_CHECK(check_root(request));
  ICON_TRY(const auto icons, host_.journal->icons());
  for (const auto& other : icons)
    if (other.name == request.spec.name)
      return fail(Code::kConflict, "an ICON named " + other.name + " (" + other.state +
                                       ") is here already; choose another name or remove it");
  ICON_TRY(const auto room, host_.market->free());
  if (!room.covers(request.spec.resources))
    return fail(Code::kLimit, "this host has not enough left: free are " +
                                  std::to_string(room.cpu_millis) + " milli-cores and " +
                                  std::to_string(room.memory_bytes) + " bytes of memory");
  return {};
}

Result<IconRecord> Icons::begin(RunRequest& request, const KeyPair& key) {
  ICON_CHECK(check_room(request));
  IconRecord icon;
  icon.id = key.id();
  icon.name = request.spec.name;
  icon.spec = std::move(request.spec);
  icon.epoch = 1;
  icon.state = icon_state::kStarting;
  icon.lower_dir = request.image ? host_.containers->image_mount(icon.id) : request.rootfs;
  icon.overlay = wire::overlay_address(key.public_key());
  icon.started_ms = host_.clock.utc_ms();
  // Written first: what a crash leaves half-made is found by its row.
  ICON_CHECK(host_.journal->put_icon(icon));
  return icon;
}

Task<Result<IconRecord>> Icons::run(RunRequest request) {
  const KeyPair key = KeyPair::generate();
  ICON_CO_TRY(auto icon, begin(request, key));
  if (auto started = co_await start_parts(icon, key, request); !started) {
    co_await forget_half_made(icon.id);
    log::warn("icon.not_started", {{"name", icon.name}, {"error", started.error().message}});
    co_return fail(started.error());
  }
  co_return icon;
}

Task<void> Icons::forget_half_made(std::string icon_id) {
  warn_unless(co_await clear_away(icon_id, kEndGrace), icon_id, "half-made");
  warn_unless(forget(icon_id), icon_id, "journal");
}

Status Icons::forget(const std::string& icon_id) {
  return host_.journal->transaction([&]() -> Status {
    ICON_CHECK(forget_earlier_stubs(host_, icon_id));
    return host_.journal->remove_icon(icon_id);
  });
}

Status Icons::put_together(const IconRecord& icon, const KeyPair& key, const RunRequest& request) {
  std::vector<std::string> layers{icon.lower_dir};
  if (request.image) {
    ICON_CHECK(mount_image(*request.image, icon.lower_dir));
    layers = request.image->layers;
  }
  ICON_CHECK(host_.network->attach(icon_network(host_, icon)));
  const std::string netns = host_.network->netns_path(icon.id);
  ICON_CHECK(host_.containers->prepare(icon.id, icon.spec, key, layers, netns, icon.overlay,
                                       request.upper));
  if (!request.dns_key.empty())
    ICON_CHECK(host_.containers->write_dns_key(icon.id, icon.spec, request.dns_key));
  return open_socket(icon.id);
}

Task<Status> Icons::start_parts(IconRecord& icon, const KeyPair& key, const RunRequest& request) {
  ICON_CO_CHECK(put_together(icon, key, request));
  if (icon.spec.docker) {
    const std::string netns = host_.network->netns_path(icon.id);
    ICON_CO_TRY(auto order, host_.containers->docker_order(icon.id, icon.spec, netns));
    ICON_CO_CHECK(co_await host_.containers->docker().make(std::move(order)));
  }
  ICON_CO_TRY(const auto process, co_await host_.containers->start(icon.id));
  co_return note_running(icon, process);
}

Status Icons::note_running(IconRecord& icon, const ProcessIdentity& process) {
  icon.pid = process.pid;
  icon.pid_start_ticks = process.start_ticks;
  icon.state = icon_state::kRunning;
  ICON_CHECK(host_.journal->transaction([&]() -> Status {
    ICON_CHECK(host_.journal->note_committed_epoch(icon.id, icon.epoch));
    return host_.journal->put_icon(icon);
  }));
  log::info("icon.started", {{"icon", icon.id},
                             {"name", icon.name},
                             {"overlay", icon.overlay.to_string()},
                             {"pid", icon.pid}});
  return watch(icon.id);
}

Task<Result<std::optional<int>>> Icons::remove(const std::string& icon_id, Millis grace) {
  ICON_CO_TRY(const auto icon, host_.journal->find_icon(icon_id));
  if (!icon) co_return fail(Code::kNotFound, "no ICON " + icon_id);
  if (icon->state == icon_state::kMigrating || icon->state == icon_state::kReserved ||
      icon->state == icon_state::kStarting)
    co_return fail(Code::kConflict,
                   "ICON " + icon->name + " is " + icon->state + "; wait until that has ended");
  std::optional<int> exit_status = icon->exit_status;
  if (icon->state == icon_state::kMoved) {
    const auto removed = co_await host_.mover->remove_stub(icon_id);
    if (!removed && removed.error().code != Code::kNotFound) co_return fail(removed.error());
  }
  settling_.insert(icon_id);  // its end is our doing
  auto killed = co_await host_.containers->kill(icon_id, grace);
  if (killed && *killed) exit_status = *killed;
  if (killed && !exit_status) exit_status = co_await dockers_exit_status(icon_id);
  const auto cleared = co_await clear_away(icon_id, kEndGrace);
  settling_.erase(icon_id);
  ICON_CO_CHECK(cleared);
  if (!icon->lease_id.empty()) (void)host_.market->release(icon->lease_id);
  ICON_CO_CHECK(forget(icon_id));
  log::info("icon.removed", {{"icon", icon_id}, {"name", icon->name}});
  co_return exit_status;
}

Task<Status> Icons::clear_away(const std::string& icon_id, Millis grace) {
  left(icon_id);
  host_.events.close(EventHub::icon_topic(icon_id));
  Status first;
  const auto note = [&](Status status) {
    if (!status && first) first = std::move(status);
  };
  if (const auto killed = co_await host_.containers->kill(icon_id, grace); !killed)
    note(fail(killed.error()));
  note(co_await host_.containers->destroy(icon_id));
  if (auto detached = host_.network->detach(icon_id);
      !detached && detached.error().code != Code::kNotFound)
    note(std::move(detached));
  co_return first;
}

Status Icons::open_socket(const std::string& icon_id) {
  if (sockets_.contains(icon_id)) return {};
  if (icon_router_ == nullptr) return fail(Code::kInternal, "no routes for ICON sockets");
  ICON_TRY(auto server,
           http::serve_unix(host_.loop, host_.containers->paths(icon_id).socket, kSocketMode,
                            icon_id, *icon_router_, icon_socket_limits()));
  sockets_.emplace(icon_id, std::move(server));
  return {};
}

void Icons::close_socket(const std::string& icon_id) { sockets_.erase(icon_id); }

void Icons::left(const std::string& icon_id) {
  close_socket(icon_id);
  statuses_.erase(icon_id);
  maps_.erase(icon_id);
}

Status Icons::watch(const std::string& icon_id) {
  return host_.containers->watch(
      icon_id, [this, icon_id](std::optional<int> exit_status) { ended(icon_id, exit_status); });
}

void Icons::ended(const std::string& icon_id, std::optional<int> exit_status) {
  const auto icon = host_.journal->find_icon(icon_id);
  // While it migrates the flow decides; check_all() looks again when it is back.
  if (!icon || !*icon || (*icon)->state != icon_state::kRunning) return;
  if (const auto arriving = arriving_.find(icon_id); arriving != arriving_.end()) {
    arriving->second = End{exit_status};
    return;
  }
  if (!settling_.insert(icon_id).second) return;
  boost::asio::co_spawn(host_.loop, settle(icon_id, exit_status, ""), boost::asio::detached);
}

// The kernel tells a status to the parent alone, and that is Docker's shim.
Task<std::optional<int>> Icons::dockers_exit_status(std::string icon_id) {
  auto place = host_.containers->paths(icon_id);
  co_return co_await host_.containers->docker().exit_status(std::move(place));
}

// The service has ended: free what costs, keep what explains.
Task<void> Icons::settle(std::string icon_id, std::optional<int> exit_status, std::string error) {
  if (!exit_status) exit_status = co_await dockers_exit_status(icon_id);
  log::info("icon.ended", {{"icon", icon_id},
                           {"exit_status", exit_status ? std::to_string(*exit_status) : "unknown"},
                           {"error", error}});
  close_socket(icon_id);
  host_.events.close(EventHub::icon_topic(icon_id));
  warn_unless(co_await host_.containers->release_processes(icon_id), icon_id, "container");
  if (auto detached = host_.network->detach(icon_id);
      !detached && detached.error().code != Code::kNotFound)
    warn_unless(detached, icon_id, "network");
  auto icon = host_.journal->find_icon(icon_id);
  if (icon && *icon) {
    (*icon)->state = error.empty() ? icon_state::kStopped : icon_state::kFailed;
    (*icon)->exit_status = exit_status;
    (*icon)->error = error;
    (*icon)->pid = 0;
    warn_unless(host_.journal->put_icon(**icon), icon_id, "journal");
    if (!(*icon)->lease_id.empty()) (void)host_.market->release((*icon)->lease_id);
  }
  settling_.erase(icon_id);
}

Task<void> Icons::stop_and_settle(std::string icon_id, Millis grace, std::string error) {
  if (!settling_.insert(icon_id).second) co_return;
  const auto killed = co_await host_.containers->kill(icon_id, grace);
  std::optional<int> exit_status;
  if (killed) exit_status = *killed;
  co_await settle(icon_id, exit_status, error);
}

Task<void> Icons::stop_all(Millis grace) {
  const auto icons = host_.journal->icons();
  if (!icons) co_return;
  // Shared: out of time, the last stops may outlast this coroutine.
  struct Left {
    explicit Left(IoContext& loop) : all_done(loop) {}
    std::size_t count = 0;
    boost::asio::steady_timer all_done;
  };
  const auto left = std::make_shared<Left>(host_.loop);
  left->all_done.expires_after(grace + kStopAllLimit);
  for (const auto& icon : *icons) {
    if (icon.state != icon_state::kRunning) continue;
    ++left->count;
    boost::asio::co_spawn(host_.loop, stop_and_settle(icon.id, grace, ""),
                          [left](std::exception_ptr) {
                            if (--left->count == 0) left->all_done.cancel();
                          });
  }
  if (left->count > 0)
    co_await left->all_done.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
}

void Icons::check_all() {
  const auto icons = host_.journal->icons();
  if (!icons) return;
  for (const auto& icon : *icons) {
    if (icon.state != icon_state::kRunning) continue;
    if (!host_.containers->running(icon.id)) {
      ended(icon.id, std::nullopt);
      continue;
    }
    if (icon.lease_id.empty()) continue;
    const auto lease = host_.journal->find_lease(icon.lease_id);
    if (lease && *lease && (*lease)->state == "expired")
      boost::asio::co_spawn(host_.loop,
                            stop_and_settle(icon.id, kEvictGrace, "the slot of its lease is over"),
                            boost::asio::detached);
  }
}

bool Icons::serves(const std::string& icon_id) const {
  const auto icon = host_.journal->find_icon(icon_id);
  return icon && *icon &&
         ((*icon)->state == icon_state::kRunning || (*icon)->state == icon_state::kMigrating) &&
         host_.containers->running(icon_id);
}

Market::Sight Icons::look_at(const std::string& icon_id) const {
  Market::Sight sight{serves(icon_id), {}};
  if (!sight.serves) return sight;
  const auto icon = host_.journal->find_icon(icon_id);
  const auto group = host_.containers->cgroup(icon_id);
  if (icon && *icon && group) sight.used = consumption_of(*group, (*icon)->pid);
  return sight;
}

Task<void> Icons::adopt_all() {
  const auto icons = host_.journal->icons();
  if (!icons) {
    log::error("icons.not_adopted", {{"error", icons.error().message}});
    co_return;
  }
  for (const auto& icon : *icons) co_await adopt(icon);
}

Task<void> Icons::adopt(IconRecord icon) {
  if (icon.state == icon_state::kStarting) {
    co_await forget_half_made(icon.id);
    co_return;
  }
  // What could not be removed when it had moved.
  if (icon.state == icon_state::kMoved)
    warn_unless(co_await host_.containers->destroy(icon.id), icon.id, "moved");
  // The others are at rest, or the Mover's to recover.
  if (icon.state != icon_state::kRunning && icon.state != icon_state::kMigrating) co_return;
  if (!host_.containers->alive(icon.id, {icon.pid, icon.pid_start_ticks})) {
    if (icon.state == icon_state::kMigrating) co_return;
    settling_.insert(icon.id);
    co_await settle(icon.id, std::nullopt, "ended while no supervisor ran");
    co_return;
  }
  if (const auto taken = take_up(icon); !taken) {
    log::error("icon.not_adopted", {{"icon", icon.id}, {"error", taken.error().message}});
    co_return;
  }
  log::info("icon.adopted", {{"icon", icon.id}, {"name", icon.name}, {"pid", icon.pid}});
}

Result<bool> Icons::has_committed_move(const std::string& icon_id) const {
  ICON_TRY(const auto rows, host_.journal->unfinished_migrations());
  return std::any_of(rows.begin(), rows.end(), [&](const MigrationRecord& row) {
    return row.role == "source" && row.icon == icon_id && row.details.contains("commit") &&
           !row.details.contains("birth") &&
           row.state != to_string(migration::SourceState::kRollingBack);
  });
}

Status Icons::take_up(const IconRecord& icon) {
  ICON_CHECK(host_.containers->note_running(icon.id, icon.pid));
  const auto network = icon_network(host_, icon);
  for (const auto& peer : network.stub_hosts) ICON_CHECK(host_.network->open_tunnel(peer));
  ICON_TRY(const bool is_given_away, has_committed_move(icon.id));
  // Frozen for good, unless the destination says that it never ran: its kernel must not acknowledge
  // a byte meanwhile.
  if (is_given_away) return host_.network->attach_frozen(network);
  ICON_CHECK(watch(icon.id));
  ICON_CHECK(host_.network->attach(network));
  return open_socket(icon.id);
}

Result<IconRecord> Icons::find(const std::string& text) const {
  ICON_TRY(const auto exact, host_.journal->find_icon(text));
  if (exact) return *exact;
  ICON_TRY(const auto icons, host_.journal->icons());
  std::optional<IconRecord> found;
  for (const auto& icon : icons) {
    if (icon.name == text) return icon;
    if (text.size() < kIdPrefixMin || !icon.id.starts_with(text)) continue;
    if (found) return fail(Code::kConflict, "several ICONs begin with " + text);
    found = icon;
  }
  if (found) return *found;
  return fail(Code::kNotFound, "no ICON " + text + " on this host");
}

const json::Object& Icons::status(const std::string& icon_id) const {
  static const json::Object nothing;
  const auto found = statuses_.find(icon_id);
  return found == statuses_.end() ? nothing : found->second;
}

void Icons::set_status(const std::string& icon_id, json::Object status) {
  statuses_[icon_id] = std::move(status);
}

json::Object Icons::describe(const IconRecord& icon) const {
  json::Array ports;
  for (const auto& port : icon.spec.ports) ports.emplace_back(port.to_json());
  json::Object object{{"id", icon.id},
                      {"name", icon.name},
                      {"state", icon.state},
                      {"epoch", icon.epoch},
                      {"overlay", icon.overlay.to_string()},
                      {"ports", std::move(ports)},
                      {"resources", icon.spec.resources.to_json()},
                      {"pid", icon.pid},
                      {"hold", icon.hold},
                      {"rootfs", icon.lower_dir},
                      {"runtime", icon.spec.docker ? "docker" : "runc"},
                      {"lease_id", icon.lease_id},
                      {"started_ms", icon.started_ms},
                      {"error", icon.error},
                      {"status", status(icon.id)}};
  if (icon.exit_status) object["exit_status"] = *icon.exit_status;
  if (icon.state != icon_state::kMoved) return object;
  const auto stub = host_.journal->find_stub(icon.id);
  if (stub && *stub)
    object["moved_to"] = json::Object{{"host", (*stub)->next_host},
                                      {"api", (*stub)->next_api.to_string()},
                                      {"public_address", (*stub)->next_public.to_string()},
                                      {"epoch", (*stub)->epoch}};
  return object;
}

}  // namespace icon::supervisor
