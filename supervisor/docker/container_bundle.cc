#include "supervisor/docker/container_bundle.h"

#include <algorithm>
#include <array>
#include <sstream>

#include "base/file.h"
#include "supervisor/docker/image_root.h"

namespace icon::supervisor {
namespace {

constexpr std::size_t kConfigBytesMax = 4 << 20;
constexpr std::size_t kMountsMax = 1024;
constexpr std::size_t kPathBytesMax = 4096;
constexpr std::size_t kMountinfoBytesMax = 16 << 20;
constexpr std::int64_t kAny = std::int64_t{1} << 53;
// What Docker itself binds into every container; the supervisor makes its own.
constexpr std::array kDockersOwn{"/etc/resolv.conf", "/etc/hostname", "/etc/hosts", "/dev/shm"};

std::string without(const std::string& text, const std::string& prefix) {
  return text.substr(prefix.size());
}

Status read_publish(const std::string& text, ContainerSpec& spec) {
  std::istringstream items(text);
  for (std::string item; std::getline(items, item, ',');) {
    if (item.empty()) continue;
    // As people write it for docker and icon: the public port first.
    const auto slash = item.find('/');
    const std::string protocol = slash == std::string::npos ? "tcp" : item.substr(slash + 1);
    const std::string ports = item.substr(0, slash);
    const auto colon = ports.find(':');
    const std::string container = colon == std::string::npos ? ports : ports.substr(colon + 1);
    ICON_TRY(auto port,
             PortMapping::parse(protocol + ":" + container + ":" + ports.substr(0, colon)));
    spec.ports.push_back(std::move(port));
  }
  return {};
}

Status check_mounts(const json::Object& config) {
  if (config.if_contains("mounts") == nullptr) return {};
  ICON_TRY(const auto* mounts, json::get_array(config, "mounts", kMountsMax));
  for (const auto& mount : *mounts) {
    if (!mount.is_object()) continue;
    ICON_TRY(const auto target, json::get_string(mount.get_object(), "destination", kPathBytesMax));
    ICON_TRY(const auto type, json::get_string_or(mount.get_object(), "type", ""));
    if (type == "bind" &&
        std::find(kDockersOwn.begin(), kDockersOwn.end(), target) == kDockersOwn.end())
      return fail(Code::kInvalid, "a volume at " + target +
                                      " cannot move with an ICON: run it without, or copy the "
                                      "files into the image");
  }
  return {};
}

// docker run --memory, --cpus.
Status read_limits(const json::Object& config, ContainerSpec& spec) {
  const auto* linux_part = config.if_contains("linux");
  if (linux_part == nullptr || !linux_part->is_object()) return {};
  const auto* resources = linux_part->get_object().if_contains("resources");
  if (resources == nullptr || !resources->is_object()) return {};
  const auto& limits = resources->get_object();
  if (const auto* memory = limits.if_contains("memory"); memory != nullptr && memory->is_object()) {
    ICON_TRY(const auto bytes, json::get_int_or(memory->get_object(), "limit", 0, -1, kAny));
    spec.resources.memory_bytes = std::max<std::int64_t>(bytes, 0);
  }
  if (const auto* cpu = limits.if_contains("cpu"); cpu != nullptr && cpu->is_object()) {
    ICON_TRY(const auto quota, json::get_int_or(cpu->get_object(), "quota", 0, -1, kAny));
    ICON_TRY(const auto period, json::get_int_or(cpu->get_object(), "period", 0, 0, kAny));
    if (quota > 0 && period > 0) spec.resources.cpu_millis = quota * 1000 / period;
  }
  return {};
}

Result<std::vector<std::string>> layers_of(const std::string& root) {
  ICON_TRY(const auto text, read_file("/proc/self/mountinfo", kMountinfoBytesMax));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.find(" " + root + " ") == std::string::npos) continue;
    auto layers = lower_directories(line.substr(line.rfind(' ') + 1));
    if (!layers.empty() && std::all_of(layers.begin(), layers.end(), [](const std::string& layer) {
          return layer.starts_with('/');
        }))
      return layers;
  }
  return fail(Code::kUnavailable,
              root +
                  " is no overlay of plain directories: Docker's storage driver must be "
                  "overlay2, and the image must not have dozens of layers");
}

}  // namespace

Status take_icon_variables(ContainerSpec& spec) {
  std::vector<std::string> kept;
  for (auto& variable : spec.env) {
    if (variable.starts_with(kNameVariable))
      spec.name = without(variable, kNameVariable);
    else if (variable.starts_with(kPublishVariable))
      ICON_CHECK(read_publish(without(variable, kPublishVariable), spec));
    else if (variable.starts_with(kPolicyVariable))
      spec.policy_yaml = without(variable, kPolicyVariable);
    else
      kept.push_back(std::move(variable));
  }
  spec.env = std::move(kept);
  return {};
}

std::vector<std::string> lower_directories(const std::string& mount_options) {
  constexpr std::string_view kLower = "lowerdir=";
  std::istringstream options(mount_options);
  std::vector<std::string> layers;
  for (std::string option; std::getline(options, option, ',');) {
    if (!option.starts_with(kLower)) continue;
    std::istringstream paths(option.substr(kLower.size()));
    for (std::string path; std::getline(paths, path, ':');) layers.push_back(path);
  }
  return layers;
}

Result<RunRequest> read_docker_bundle(const std::string& bundle) {
  if (bundle.empty() || bundle.front() != '/')
    return fail(Code::kInvalid, "bundle must be an absolute path");
  ICON_TRY(const auto text, read_file(bundle + "/config.json", kConfigBytesMax));
  ICON_TRY(const auto config, json::parse_object(text, kConfigBytesMax));
  RunRequest request;
  ContainerSpec& spec = request.spec;
  ICON_TRY(const auto root, read_bundle(bundle, spec));
  ICON_CHECK(check_mounts(config));
  ICON_CHECK(read_limits(config, spec));
  ICON_CHECK(take_icon_variables(spec));
  take_agent_off(spec.command);
  if (spec.name.empty()) spec.name = spec.hostname;
  spec.docker = true;
  request.image.emplace();
  ICON_TRY(request.image->layers, layers_of(root));
  return request;
}

}  // namespace icon::supervisor
