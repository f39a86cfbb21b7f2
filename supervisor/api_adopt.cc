// The host's socket, continued: a container of Docker's becomes an ICON. Its files and its settings
// stay, its service starts anew: streams, mounts, network and the agent's key are made with a
// container. Until the ICON runs the old container is kept, and it runs again when that fails.
#include <boost/asio/this_coro.hpp>
#include <cctype>
#include <filesystem>

#include "base/file.h"
#include "base/log.h"
#include "migration/movable/movable.h"
#include "migration/worker.h"
#include "supervisor/api.h"
#include "supervisor/api_parts.h"
#include "supervisor/docker/adoption.h"
#include "supervisor/docker/docker_containers.h"
#include "supervisor/docker/image_root.h"
#include "supervisor/host.h"
#include "supervisor/move_parts.h"
#include "supervisor/mover.h"

namespace icon::supervisor {
namespace {

constexpr Millis kStartAgainLimit{60'000};
constexpr const char* kLayerPart = "upper";
constexpr const char* kOldSuffix = ".before-icon";

struct AdoptRequest {
  std::string container;
  std::string policy;
  std::vector<PortMapping> ports;  // instead of Docker's
  bool restart = false;
};

Result<AdoptRequest> read_request(const http::Request& request) {
  ICON_TRY(const auto body, body_of(request));
  AdoptRequest adopt;
  ICON_TRY(adopt.container, json::get_string(body, "container", 128));
  // It becomes a part of a URL.
  for (const char c : adopt.container)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_' && c != '-' && c != '.')
      return fail(Code::kInvalid, "'" + adopt.container + "' is no name of a container");
  if (adopt.container.empty()) return fail(Code::kInvalid, "'container' is empty");
  ICON_TRY(adopt.policy, json::get_string_or(body, "policy", "", ContainerSpec::kPolicyBytesMax));
  if (body.if_contains("restart") != nullptr) {
    ICON_TRY(adopt.restart, json::get_bool(body, "restart"));
  }
  if (body.if_contains("ports") == nullptr) return adopt;
  ICON_TRY(const auto* ports, json::get_array(body, "ports", ContainerSpec::kPortsMax));
  for (const auto& item : *ports) {
    if (!item.is_string()) return fail(Code::kInvalid, "field 'ports' holds no texts");
    ICON_TRY(auto port, PortMapping::parse(std::string(item.get_string())));
    adopt.ports.push_back(std::move(port));
  }
  return adopt;
}

// What `icon check` would say of it once it is an ICON.
Task<Status> check_processes(Host& host, int pid, std::string name) {
  migration::Provisions provisions;
  provisions.quiescing = pid;
  provisions.carries_other_users = co_await host.mover->carries_other_users();
  auto work = [pid, provisions] { return migration::check_movable(pid, provisions); };
  ICON_CO_TRY(auto report, co_await migration::run_on(worker_pool(), std::move(work)));
  drop_dockers_own(report);
  if (report.movable()) co_return Status{};
  std::string text = "container " + name + " could not move: " + migration::summary(report);
  for (const auto& obstacle : report.obstacles)
    if (obstacle.blocks) text += ". " + obstacle.fix;
  co_return fail(Code::kRefused, std::move(text));
}

// Blocking threads at both ends, the loop between them.
Task<Status> copy_layer(std::string from, std::string to) {
  const auto executor = co_await boost::asio::this_coro::executor;
  std::vector<migration::TreePart> parts{{kLayerPart, std::move(from)}};
  ICON_CO_TRY(auto source, migration::TarSource::start(executor, std::move(parts)));
  std::map<std::string, std::string> directories{{kLayerPart, std::move(to)}};
  migration::ExtractLimits limits;
  limits.bytes_max = kImageBytesMax;
  ICON_CO_TRY(auto sink, migration::TarSink::start(executor, std::move(directories), limits));
  for (;;) {
    ICON_CO_TRY(const auto bytes, co_await source->next());
    if (bytes.empty()) break;
    if (const auto written = co_await sink->write(bytes); !written) break;  // finish() knows why
  }
  const auto done = co_await sink->finish();
  if (!done) co_return fail(done.error());
  co_return Status{};
}

Task<Result<IconRecord>> make_icon(Host& host, RunRequest run, std::string upper,
                                   std::string container) {
  const std::string staging = host.config.state_dir + "/adopting-" + container.substr(0, 12);
  std::error_code error;
  std::filesystem::remove_all(staging, error);
  ICON_CO_CHECK(make_directories(staging, 0755));
  auto copied = co_await copy_layer(std::move(upper), staging);
  run.upper = staging;
  Result<IconRecord> icon = fail(Code::kInternal, "");
  if (copied)
    icon = co_await host.icons->run(std::move(run));
  else
    icon = fail(copied.error());
  std::filesystem::remove_all(staging, error);
  co_return icon;
}

// From here on everything is undone on failure.
Task<Result<IconRecord>> replace(Host& host, Adoption adoption, RunRequest run) {
  EngineClient& engine = host.containers->docker().engine();
  ICON_CO_CHECK(co_await engine.stop_container(adoption.container));
  const std::string old_name = adoption.name + kOldSuffix;
  auto renamed = co_await engine.rename_container(adoption.container, old_name);
  Result<IconRecord> icon = fail(Code::kInternal, "");
  if (renamed)
    icon = co_await make_icon(host, std::move(run), adoption.upper, adoption.container);
  else
    icon = fail(renamed.error());
  if (icon) {
    if (const auto removed = co_await engine.remove_container(adoption.container); !removed)
      log::warn("adopt.old_container",
                {{"container", old_name}, {"error", removed.error().message}});
    co_return icon;
  }
  Status back;
  if (renamed) back = co_await engine.rename_container(adoption.container, adoption.name);
  auto again = co_await engine.start_container(adoption.container, kStartAgainLimit);
  if (back && again)
    co_return fail(icon.error().code, icon.error().message + "; container " + adoption.name +
                                          " runs again as Docker's");
  co_return fail(
      icon.error().code,
      icon.error().message + "; and container " + adoption.container.substr(0, 12) +
          " could not be started again: " + (back ? again.error().message : back.error().message));
}

Task<Result<json::Value>> adopt_container(Host& host, http::Request request) {
  ICON_CO_TRY(const auto wanted, read_request(request));
  EngineClient& engine = host.containers->docker().engine();
  ICON_CO_CHECK(co_await engine.check_runtime());
  ICON_CO_TRY(const auto container, co_await engine.inspect_container(wanted.container));
  ICON_CO_TRY(auto adoption, read_adoption(container));
  ICON_CO_TRY(auto image, co_await engine.image(adoption.image_id));
  const auto named = co_await engine.image(adoption.image_name);
  adoption.service.layers = image.layers;
  RunRequest run;
  run.spec = adoption.spec;
  run.spec.cwd = "";
  run.spec.policy_yaml = wanted.policy;
  if (!wanted.ports.empty()) run.spec.ports = wanted.ports;
  ICON_CO_CHECK(take_image_defaults(adoption.service, run.spec));
  run.spec.image = named && named->layers == image.layers ? adoption.image_name : adoption.image_id;
  run.image = std::move(image);
  ICON_CO_CHECK(host.icons->check_room(run));
  ICON_CO_CHECK(co_await check_processes(host, adoption.pid, adoption.name));
  if (!wanted.restart)
    co_return fail(Code::kRefused, "container " + adoption.name +
                                       " can become an ICON, but its service has to be started "
                                       "again for that: files stay, memory and open connections "
                                       "end. Say so with --restart");
  log::info("adopt", {{"container", adoption.container}, {"name", adoption.name}});
  ICON_CO_TRY(const auto icon, co_await replace(host, std::move(adoption), std::move(run)));
  co_return host.icons->describe(icon);
}

}  // namespace

void add_adopt_routes(http::Router& router, Host& host) {
  router.on("POST", "/v1/adopt", answering(201, [&host](http::Request request) {
              return adopt_container(host, std::move(request));
            }));
}

}  // namespace icon::supervisor
