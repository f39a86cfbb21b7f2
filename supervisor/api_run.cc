// The host's socket, continued: new ICONs, from `icon run` and from Docker.
#include "supervisor/api.h"
#include "supervisor/api_parts.h"
#include "supervisor/docker/container_bundle.h"
#include "supervisor/docker/docker_containers.h"
#include "supervisor/docker/image_root.h"
#include "supervisor/host.h"

namespace icon::supervisor {
namespace {

constexpr std::size_t kPathBytesMax = 4'000;
constexpr std::int64_t kPidMax = 1 << 22;

Status read_ports(const json::Object& body, ContainerSpec& spec) {
  if (body.if_contains("ports") == nullptr) return {};
  ICON_TRY(const auto* ports, json::get_array(body, "ports", ContainerSpec::kPortsMax));
  for (const auto& item : *ports) {
    if (item.is_object()) {
      ICON_TRY(auto port, PortMapping::from_json(item.get_object()));
      spec.ports.push_back(std::move(port));
      continue;
    }
    if (!item.is_string()) return fail(Code::kInvalid, "field 'ports' holds no texts");
    ICON_TRY(auto port, PortMapping::parse(std::string(item.get_string())));
    spec.ports.push_back(std::move(port));
  }
  return {};
}

Status read_texts(const json::Object& body, std::string_view key, std::size_t count_max,
                  std::vector<std::string>& texts) {
  if (body.if_contains(key) == nullptr) return {};
  ICON_TRY(const auto* array, json::get_array(body, key, count_max));
  for (const auto& item : *array) {
    if (!item.is_string())
      return fail(Code::kInvalid, "field '" + std::string(key) + "' holds no texts");
    texts.emplace_back(item.get_string());
  }
  return {};
}

// Without a name the program's is as good as any.
std::string name_from(const ContainerSpec& spec) {
  if (spec.command.empty()) return "";
  const std::string& program = spec.command.front();
  return program.substr(program.rfind('/') + 1);
}

Result<RunRequest> read_run_request(const http::Request& request) {
  ICON_TRY(const auto body, body_of(request));
  RunRequest run;
  ContainerSpec& spec = run.spec;
  ICON_TRY(spec.name, json::get_string_or(body, "name", "", 63));
  ICON_TRY(spec.hostname, json::get_string_or(body, "hostname", "", 63));
  ICON_CHECK(read_texts(body, "command", ContainerSpec::kArgumentsMax, spec.command));
  ICON_CHECK(read_texts(body, "env", ContainerSpec::kEnvironmentMax, spec.env));
  ICON_CHECK(read_ports(body, spec));
  ICON_TRY(spec.cwd, json::get_string_or(body, "cwd", "/", kPathBytesMax));
  ICON_TRY(spec.policy_yaml,
           json::get_string_or(body, "policy", "", ContainerSpec::kPolicyBytesMax));
  ICON_TRY(run.dns_key, json::get_string_or(body, "dns_key", "", ContainerSpec::kDnsKeyBytesMax));
  if (const auto* user = body.if_contains("user"); user != nullptr) {
    ICON_TRY(const auto* object, json::get_object(body, "user"));
    ICON_TRY(const auto uid, json::get_int_or(*object, "uid", 0, 0, 0xffff'fffe));
    ICON_TRY(const auto gid, json::get_int_or(*object, "gid", 0, 0, 0xffff'fffe));
    spec.uid = static_cast<std::uint32_t>(uid);
    spec.gid = static_cast<std::uint32_t>(gid);
  }
  if (body.if_contains("read_only_rootfs") != nullptr) {
    ICON_TRY(spec.read_only_rootfs, json::get_bool(body, "read_only_rootfs"));
  }
  if (body.if_contains("resources") != nullptr) {
    ICON_TRY(const auto* resources, json::get_object(body, "resources"));
    ICON_TRY(spec.resources, wire::Resources::from_json(*resources));
  }
  ICON_TRY(const auto runtime, json::get_string_or(body, "runtime", "runc", 16));
  if (runtime != "runc" && runtime != "docker")
    return fail(Code::kInvalid, "'runtime' is neither 'runc' nor 'docker'");
  spec.docker = runtime == "docker";
  ICON_TRY(spec.image, json::get_string_or(body, "image", "", 255));
  ICON_TRY(run.rootfs, json::get_string_or(body, "rootfs", "", kPathBytesMax));
  ICON_TRY(const auto bundle, json::get_string_or(body, "bundle", "", kPathBytesMax));
  if (!run.rootfs.empty() + !bundle.empty() + !spec.image.empty() != 1)
    return fail(Code::kInvalid, "give one of 'rootfs', 'bundle' and 'image'");
  if (!bundle.empty()) {
    if (bundle.front() != '/') return fail(Code::kInvalid, "bundle must be an absolute path");
    ICON_TRY(run.rootfs, read_bundle(bundle, spec));
  }
  return run;
}

Task<Result<json::Value>> run_icon(Host& host, http::Request request) {
  ICON_CO_TRY(auto run, read_run_request(request));
  if (!run.spec.image.empty()) {
    ICON_CO_TRY(run.image, co_await host.containers->docker().engine().image(run.spec.image));
    ICON_CO_CHECK(take_image_defaults(*run.image, run.spec));
  }
  if (run.spec.name.empty()) run.spec.name = name_from(run.spec);
  ICON_CO_CHECK(run.spec.check());
  ICON_CO_TRY(const auto icon, co_await host.icons->run(std::move(run)));
  co_return host.icons->describe(icon);
}

// `docker run --runtime icon`: Docker's shim is making that container right now and waits for us.
Task<Result<json::Value>> prepare_for_docker(Host& host, http::Request request) {
  ICON_CO_TRY(const auto body, body_of(request));
  ICON_CO_TRY(const auto container, json::get_string(body, "container", 128));
  ICON_CO_TRY(const auto bundle, json::get_string(body, "bundle", kPathBytesMax));
  ICON_CO_TRY(auto run, read_docker_bundle(bundle));
  ICON_CO_TRY(const auto icon, co_await host.icons->prepare_for_docker(std::move(run), container));
  co_return json::Object{{"id", icon.id}, {"directory", host.containers->paths(icon.id).directory}};
}

Task<Result<json::Value>> made_by_docker(Host& host, http::Request request) {
  ICON_CO_TRY(const auto body, body_of(request));
  ICON_CO_TRY(const auto pid, json::get_int(body, "pid", 2, kPidMax));
  ICON_CO_CHECK(host.icons->made_by_docker(request.params["id"], static_cast<int>(pid)));
  co_return json::Object{};
}

}  // namespace

void add_run_routes(http::Router& router, Host& host) {
  add_adopt_routes(router, host);
  router.on("POST", "/v1/icons", answering(201, [&host](http::Request request) {
              return run_icon(host, std::move(request));
            }));
  router.on("POST", "/v1/docker", answering(201, [&host](http::Request request) {
              return prepare_for_docker(host, std::move(request));
            }));
  router.on("POST", "/v1/docker/{id}", answering(200, [&host](http::Request request) {
              return made_by_docker(host, std::move(request));
            }));
}

}  // namespace icon::supervisor
