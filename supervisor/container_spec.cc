#include "supervisor/container_spec.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <set>

#include "base/file.h"

namespace icon::supervisor {
namespace {

constexpr std::int64_t kPortMax = 65'535;
constexpr std::int64_t kIdMax = 0xffff'fffe;
constexpr std::size_t kGroupsMax = 64;
constexpr std::size_t kNameMax = 63;
constexpr std::size_t kImageNameMax = 255;
constexpr std::size_t kPathMax = 4095;
constexpr std::size_t kBundleBytesMax = 1 << 20;

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kNameMax && text.front() != '-' && text.front() != '.' &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

// As the engine takes it into a path of its API.
bool is_image_name(std::string_view text) {
  return text.size() <= kImageNameMax && text.find("..") == std::string_view::npos &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.' || c == '/' ||
                  c == ':' || c == '@';
         });
}

bool has_nul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

Result<std::uint16_t> parse_port(std::string_view text) {
  int port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port < 1 || port > kPortMax)
    return fail(Code::kInvalid, "'" + std::string(text) + "' is no port (1 to 65535)");
  return static_cast<std::uint16_t>(port);
}

Result<std::vector<std::string>> get_texts(const json::Object& object, std::string_view key,
                                           std::size_t count_max) {
  ICON_TRY(const auto* array, json::get_array(object, key, count_max));
  std::vector<std::string> texts;
  for (const auto& item : *array) {
    if (!item.is_string() || item.get_string().size() > ContainerSpec::kTextBytesMax)
      return fail(Code::kInvalid, "field '" + std::string(key) + "' holds no short texts");
    texts.emplace_back(item.get_string().c_str(), item.get_string().size());
  }
  return texts;
}

json::Array to_array(const std::vector<std::string>& texts) {
  json::Array array;
  for (const auto& text : texts) array.emplace_back(text);
  return array;
}

Status read_user(const json::Object& object, ContainerSpec& spec) {
  ICON_TRY(const auto uid, json::get_int_or(object, "uid", 0, 0, kIdMax));
  ICON_TRY(const auto gid, json::get_int_or(object, "gid", 0, 0, kIdMax));
  spec.uid = static_cast<std::uint32_t>(uid);
  spec.gid = static_cast<std::uint32_t>(gid);
  if (object.if_contains("additional_gids") == nullptr) return {};
  ICON_TRY(const auto* gids, json::get_array(object, "additional_gids", kGroupsMax));
  for (const auto& item : *gids) {
    if (!item.is_int64() || item.get_int64() < 0 || item.get_int64() > kIdMax)
      return fail(Code::kInvalid, "field 'additional_gids' holds no group ids");
    spec.additional_gids.push_back(static_cast<std::uint32_t>(item.get_int64()));
  }
  return {};
}

}  // namespace

Result<PortMapping> PortMapping::parse(std::string_view text) {
  PortMapping mapping;
  const std::string whole(text);
  if (text.starts_with("tcp:") || text.starts_with("udp:")) {
    mapping.proto = text.substr(0, 3);
    text.remove_prefix(4);
  }
  const auto colon = text.find(':');
  const auto explained = [&](Error error) {
    return fail(Code::kInvalid, "port '" + whole + "': " + error.message +
                                    "; write CONTAINER, CONTAINER:PUBLIC or udp:CONTAINER:PUBLIC");
  };
  const auto container = parse_port(text.substr(0, colon));
  if (!container) return explained(container.error());
  const auto published =
      colon == std::string_view::npos ? container : parse_port(text.substr(colon + 1));
  if (!published) return explained(published.error());
  mapping.container = *container;
  mapping.published = *published;
  return mapping;
}

json::Object PortMapping::to_json() const {
  return {{"proto", proto}, {"container", container}, {"public", published}};
}

Result<PortMapping> PortMapping::from_json(const json::Object& object) {
  PortMapping mapping;
  ICON_TRY(mapping.proto, json::get_string(object, "proto", 8));
  if (mapping.proto != "tcp" && mapping.proto != "udp")
    return fail(Code::kInvalid, "field 'proto' is neither 'tcp' nor 'udp'");
  ICON_TRY(const auto container, json::get_int(object, "container", 1, kPortMax));
  ICON_TRY(const auto published, json::get_int(object, "public", 1, kPortMax));
  mapping.container = static_cast<std::uint16_t>(container);
  mapping.published = static_cast<std::uint16_t>(published);
  return mapping;
}

Status ContainerSpec::check() const {
  if (!is_name(name))
    return fail(Code::kInvalid, "name '" + name.substr(0, kNameMax) +
                                    "': use 1 to 63 letters, digits, '-', '_' or '.'");
  if (!hostname.empty() && !is_name(hostname))
    return fail(Code::kInvalid, "hostname: use letters, digits, '-' or '.'");
  if (!is_image_name(image)) return fail(Code::kInvalid, "that is no name of an image");
  if (command.empty() || command.front().empty())
    return fail(Code::kInvalid, "no command: say what the container shall run");
  if (command.size() > kArgumentsMax || env.size() > kEnvironmentMax || ports.size() > kPortsMax)
    return fail(Code::kLimit, "too many arguments, variables or ports");
  for (const auto& text : command)
    if (has_nul(text) || text.size() > kTextBytesMax)
      return fail(Code::kInvalid, "an argument is too long or holds a zero byte");
  for (const auto& text : env)
    if (has_nul(text) || text.size() > kTextBytesMax || text.find('=') == std::string::npos ||
        text.front() == '=')
      return fail(Code::kInvalid, "environment: '" + text.substr(0, 64) + "' is not NAME=value");
  if (cwd.empty() || cwd.front() != '/' || cwd.size() > kPathMax || has_nul(cwd))
    return fail(Code::kInvalid, "cwd must be an absolute path");
  if (policy_yaml.size() > kPolicyBytesMax)
    return fail(Code::kLimit, "the policy is larger than 64 KiB");
  std::set<std::pair<std::string, std::uint16_t>> published;
  for (const auto& port : ports)
    if (!published.emplace(port.proto, port.published).second)
      return fail(Code::kInvalid, "public port " + port.proto + ":" +
                                      std::to_string(port.published) + " is given twice");
  return {};
}

json::Object ContainerSpec::to_json() const {
  json::Array port_array;
  for (const auto& port : ports) port_array.emplace_back(port.to_json());
  json::Array gids;
  for (const auto gid : additional_gids) gids.emplace_back(std::int64_t{gid});
  return {{"name", name},
          {"hostname", hostname},
          {"command", to_array(command)},
          {"env", to_array(env)},
          {"cwd", cwd},
          {"uid", std::int64_t{uid}},
          {"gid", std::int64_t{gid}},
          {"additional_gids", std::move(gids)},
          {"read_only_rootfs", read_only_rootfs},
          {"ports", std::move(port_array)},
          {"resources", resources.to_json()},
          {"policy", policy_yaml},
          {"docker", docker},
          {"image", image}};
}

Result<ContainerSpec> ContainerSpec::from_json(const json::Object& object) {
  ContainerSpec spec;
  ICON_TRY(spec.name, json::get_string(object, "name", kNameMax));
  ICON_TRY(spec.hostname, json::get_string_or(object, "hostname", "", kNameMax));
  ICON_TRY(spec.command, get_texts(object, "command", kArgumentsMax));
  if (object.if_contains("env") != nullptr) {
    ICON_TRY(spec.env, get_texts(object, "env", kEnvironmentMax));
  }
  ICON_TRY(spec.cwd, json::get_string_or(object, "cwd", "/", kPathMax));
  ICON_CHECK(read_user(object, spec));
  if (object.if_contains("read_only_rootfs") != nullptr) {
    ICON_TRY(spec.read_only_rootfs, json::get_bool(object, "read_only_rootfs"));
  }
  if (object.if_contains("ports") != nullptr) {
    ICON_TRY(const auto* ports, json::get_array(object, "ports", kPortsMax));
    for (const auto& item : *ports) {
      if (!item.is_object()) return fail(Code::kInvalid, "field 'ports' holds no objects");
      ICON_TRY(auto port, PortMapping::from_json(item.get_object()));
      spec.ports.push_back(std::move(port));
    }
  }
  if (object.if_contains("resources") != nullptr) {
    ICON_TRY(const auto* resources, json::get_object(object, "resources"));
    ICON_TRY(spec.resources, wire::Resources::from_json(*resources));
  }
  if (object.if_contains("docker") != nullptr) {
    ICON_TRY(spec.docker, json::get_bool(object, "docker"));
  }
  ICON_TRY(spec.image, json::get_string_or(object, "image", "", kImageNameMax));
  ICON_TRY(spec.policy_yaml, json::get_string_or(object, "policy", "", kPolicyBytesMax));
  ICON_CHECK(spec.check());
  return spec;
}

Result<std::string> read_bundle(const std::string& bundle_dir, ContainerSpec& spec) {
  ICON_TRY(const auto text, read_file(bundle_dir + "/config.json", kBundleBytesMax));
  ICON_TRY(const auto config, json::parse_object(text, kBundleBytesMax));
  ICON_TRY(const auto* process, json::get_object(config, "process"));
  ICON_TRY(const auto* root, json::get_object(config, "root"));
  if (spec.command.empty()) {
    ICON_TRY(spec.command, get_texts(*process, "args", ContainerSpec::kArgumentsMax));
  }
  if (spec.env.empty() && process->if_contains("env") != nullptr) {
    ICON_TRY(spec.env, get_texts(*process, "env", ContainerSpec::kEnvironmentMax));
  }
  if (spec.cwd.empty() || spec.cwd == "/") {
    ICON_TRY(spec.cwd, json::get_string_or(*process, "cwd", "/", kPathMax));
  }
  if (spec.hostname.empty()) {
    ICON_TRY(spec.hostname, json::get_string_or(config, "hostname", "", kNameMax));
  }
  if (spec.uid == 0 && spec.gid == 0 && process->if_contains("user") != nullptr) {
    ICON_TRY(const auto* user, json::get_object(*process, "user"));
    json::Object renamed = *user;
    if (const auto* gids = user->if_contains("additionalGids")) renamed["additional_gids"] = *gids;
    ICON_CHECK(read_user(renamed, spec));
  }
  if (root->if_contains("readonly") != nullptr) {
    ICON_TRY(spec.read_only_rootfs, json::get_bool(*root, "readonly"));
  }
  ICON_TRY(const auto path, json::get_string(*root, "path", kPathMax));
  if (path.empty()) return fail(Code::kInvalid, bundle_dir + "/config.json: root.path is empty");
  return path.front() == '/' ? path : bundle_dir + "/" + path;
}

}  // namespace icon::supervisor
