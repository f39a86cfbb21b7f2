#include "supervisor/docker/adoption.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "supervisor/docker/container_bundle.h"
#include "supervisor/docker/image_root.h"

namespace icon::supervisor {
namespace {

constexpr std::size_t kPathBytesMax = 4096;
constexpr std::size_t kWordsMax = 1024;
constexpr std::size_t kWordBytesMax = 64 << 10;
constexpr std::int64_t kAny = std::int64_t{1} << 53;
constexpr std::int64_t kNanosPerMilli = 1'000'000;
// Of what a process holds: Docker's streams, files and mounts.
constexpr std::array kDockersKinds{"pipe_outside", "outside_mount", "volume", "not_contained"};

const json::Object& object_at(const json::Object& object, std::string_view key) {
  static const json::Object kEmpty;
  const auto* value = object.if_contains(key);
  return value != nullptr && value->is_object() ? value->get_object() : kEmpty;
}

bool is_set(const json::Object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  if (value == nullptr || value->is_null()) return false;
  if (value->is_bool()) return value->get_bool();
  if (value->is_array()) return !value->get_array().empty();
  if (value->is_object()) return !value->get_object().empty();
  return true;
}

Result<std::vector<std::string>> words_at(const json::Object& object, std::string_view key) {
  std::vector<std::string> words;
  const auto* value = object.if_contains(key);
  if (value == nullptr || value->is_null()) return words;
  ICON_TRY(const auto* array, json::get_array(object, key, kWordsMax));
  for (const auto& item : *array) {
    if (!item.is_string() || item.get_string().size() > kWordBytesMax)
      return fail(Code::kInvalid, "Docker's '" + std::string(key) + "' holds no texts");
    words.emplace_back(item.get_string());
  }
  return words;
}

bool is_icon_variable(const std::string& variable) {
  return variable.starts_with(kNameVariable) || variable.starts_with(kPublishVariable) ||
         variable.starts_with(kPolicyVariable);
}

// What an ICON cannot have, each with its way out.
std::vector<std::string> obstacles_of(const json::Object& container, const Adoption& adoption) {
  std::vector<std::string> found;
  const json::Object& config = object_at(container, "Config");
  const json::Object& host = object_at(container, "HostConfig");
  const auto* mounts = container.if_contains("Mounts");
  if (mounts != nullptr && mounts->is_array())
    for (const auto& mount : mounts->get_array()) {
      const auto at = mount.is_object()
                          ? json::get_string(mount.get_object(), "Destination", kPathBytesMax)
                          : Result<std::string>("?");
      found.push_back("a volume at " + at.value_or("?") +
                      ": copy its files into the image, volumes do not move");
    }
  if (adoption.service.command.empty())
    found.push_back(
        "its first process is no icon-agent with a command: give its image the agent's two lines "
        "(docs/images.md) and run it again");
  if (is_set(config, "Tty")) found.push_back("a terminal: run it without --tty");
  if (is_set(host, "AutoRemove"))
    found.push_back("--rm: Docker would remove it on the way; run it without");
  if (is_set(host, "Privileged")) found.push_back("--privileged: an ICON never is");
  for (const char* key : {"Devices", "DeviceRequests", "CapAdd", "Tmpfs"})
    if (is_set(host, key))
      found.push_back("HostConfig." + std::string(key) + " is set: an ICON cannot have that");
  for (const char* key : {"PidMode", "IpcMode", "UTSMode", "UsernsMode"}) {
    const auto mode = json::get_string_or(host, key, "");
    if (mode && (*mode == "host" || mode->starts_with("container:")))
      found.push_back("HostConfig." + std::string(key) + " is " + *mode +
                      ": an ICON shares no namespaces");
  }
  return found;
}

// docker run -p: the first public port of each.
Result<std::vector<PortMapping>> ports_of(const json::Object& host) {
  std::vector<PortMapping> ports;
  for (const auto& [key, value] : object_at(host, "PortBindings")) {
    if (!value.is_array() || value.get_array().empty()) continue;
    const auto& first = value.get_array().front();
    if (!first.is_object()) continue;
    ICON_TRY(auto published, json::get_string_or(first.get_object(), "HostPort", ""));
    const std::string text(key);  // "6379/tcp"
    const auto slash = text.find('/');
    const std::string protocol = slash == std::string::npos ? "tcp" : text.substr(slash + 1);
    const std::string inner = text.substr(0, slash);
    if (published.empty()) published = inner;
    ICON_TRY(auto port, PortMapping::parse(protocol + ":" + inner + ":" + published));
    ports.push_back(std::move(port));
  }
  return ports;
}

Status read_limits(const json::Object& host, ContainerSpec& spec) {
  ICON_TRY(spec.resources.memory_bytes, json::get_int_or(host, "Memory", 0, 0, kAny));
  ICON_TRY(const auto nanos, json::get_int_or(host, "NanoCpus", 0, 0, kAny));
  ICON_TRY(const auto quota, json::get_int_or(host, "CpuQuota", 0, -1, kAny / 1000));
  ICON_TRY(const auto period, json::get_int_or(host, "CpuPeriod", 0, 0, kAny));
  spec.resources.cpu_millis = nanos / kNanosPerMilli;
  if (nanos == 0 && quota > 0)
    spec.resources.cpu_millis = quota * 1000 / (period > 0 ? period : 100'000);
  spec.read_only_rootfs = is_set(host, "ReadonlyRootfs");
  return {};
}

Status read_service(const json::Object& container, DockerImage& service) {
  const json::Object& config = object_at(container, "Config");
  ICON_TRY(auto program, json::get_string(container, "Path", kPathBytesMax));
  ICON_TRY(const auto arguments, words_at(container, "Args"));
  std::vector<std::string> all{std::move(program)};
  all.insert(all.end(), arguments.begin(), arguments.end());
  auto command = all;
  take_agent_off(command);
  if (command.size() < all.size()) service.command = std::move(command);
  ICON_TRY(service.env, words_at(config, "Env"));
  ICON_TRY(service.cwd, json::get_string_or(config, "WorkingDir", "", kPathBytesMax));
  ICON_TRY(service.user, json::get_string_or(config, "User", ""));
  return {};
}

}  // namespace

Result<Adoption> read_adoption(const json::Object& container) {
  Adoption adoption;
  const json::Object& config = object_at(container, "Config");
  const json::Object& host = object_at(container, "HostConfig");
  const json::Object& state = object_at(container, "State");
  ICON_TRY(adoption.container, json::get_string(container, "Id", 128));
  ICON_TRY(adoption.name, json::get_string(container, "Name"));
  if (adoption.name.starts_with('/')) adoption.name.erase(0, 1);
  const std::string who = "container " + adoption.name;
  ICON_TRY(const auto pid, json::get_int_or(state, "Pid", 0, 0, 1 << 22));
  adoption.pid = static_cast<int>(pid);
  if (adoption.pid == 0 || is_set(state, "Paused") || is_set(state, "Restarting"))
    return fail(Code::kRefused, who + " does not run: docker start it first, or docker unpause");
  ICON_TRY(adoption.image_id, json::get_string(container, "Image"));
  ICON_TRY(adoption.image_name, json::get_string(config, "Image"));
  ICON_TRY(adoption.spec.hostname, json::get_string_or(config, "Hostname", "", 63));
  ICON_CHECK(read_service(container, adoption.service));
  const auto& env = adoption.service.env;
  if (object_at(config, "Labels").contains(kIconLabel) ||
      std::any_of(env.begin(), env.end(), is_icon_variable))
    return fail(Code::kConflict, who + " is an ICON already: see icon ps");
  const auto& driver = object_at(container, "GraphDriver");
  if (json::get_string_or(driver, "Name", "").value_or("") != "overlay2")
    return fail(Code::kRefused, "the engine's storage driver is not overlay2");
  ICON_TRY(adoption.upper, json::get_string(object_at(driver, "Data"), "UpperDir", kPathBytesMax));
  ICON_CHECK(read_limits(host, adoption.spec));
  ICON_TRY(adoption.spec.ports, ports_of(host));
  std::string all;
  for (const auto& obstacle : obstacles_of(container, adoption))
    all += (all.empty() ? "" : "; ") + obstacle;
  if (!all.empty()) return fail(Code::kRefused, who + " cannot become an ICON: " + all);
  adoption.spec.name = adoption.name;
  adoption.spec.docker = true;
  return adoption;
}

void drop_dockers_own(migration::MovableReport& report) {
  std::erase_if(report.obstacles, [](const migration::Obstacle& obstacle) {
    return std::find(kDockersKinds.begin(), kDockersKinds.end(), obstacle.kind) !=
           kDockersKinds.end();
  });
}

}  // namespace icon::supervisor
