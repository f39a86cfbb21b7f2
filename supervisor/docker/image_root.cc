#include "supervisor/docker/image_root.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <sstream>

#include "base/file.h"
#include "supervisor/safe_path.h"

namespace icon::supervisor {
namespace {

constexpr std::size_t kMountOptionsMax = 4095;  // a page
constexpr std::size_t kUsersBytesMax = 1 << 20;
constexpr std::size_t kIdField = 2;     // of a line of passwd(5) or group(5)
constexpr std::size_t kGroupField = 3;  // of passwd(5)

bool is_agent(const std::string& word) {
  return word == "icon-agent" || word.ends_with("/icon-agent");
}

std::optional<std::uint32_t> as_number(std::string_view text) {
  std::uint32_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return id;
}

// The file as a container sees it: the topmost layer that has one counts.
std::string read_from_image(const DockerImage& image, const std::string& path) {
  for (const auto& layer : image.layers) {
    const auto file = open_in_root(layer, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    struct stat info {};
    if (!file || fstat(file->get(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    std::string text(std::min<std::size_t>(static_cast<std::size_t>(info.st_size), kUsersBytesMax),
                     '\0');
    const ssize_t count = pread(file->get(), text.data(), text.size(), 0);
    text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    return text;
  }
  return "";
}

// Of passwd(5) or group(5): the fields of the line whose name, or number, is `wanted`.
std::vector<std::string> find_line(const std::string& text, const std::string& wanted) {
  const bool by_number = as_number(wanted).has_value();
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::vector<std::string> fields;
    std::istringstream words(line);
    for (std::string word; std::getline(words, word, ':');) fields.push_back(word);
    if (fields.size() > kIdField && fields[by_number ? kIdField : 0] == wanted) return fields;
  }
  return {};
}

// "1000", "www-data", "1000:33", "redis:redis", as Docker reads USER.
Status take_user(const DockerImage& image, ContainerSpec& spec) {
  const auto colon = image.user.find(':');
  const std::string user = image.user.substr(0, colon);
  const auto entry = find_line(read_from_image(image, "/etc/passwd"), user);
  const auto uid = as_number(entry.empty() ? user : entry[kIdField]);
  if (!uid)
    return fail(Code::kInvalid,
                "the image's USER " + image.user + " is not in its /etc/passwd: give a number");
  std::optional<std::uint32_t> gid = 0;
  if (colon != std::string::npos) {
    const std::string group = image.user.substr(colon + 1);
    const auto line = find_line(read_from_image(image, "/etc/group"), group);
    gid = as_number(line.empty() ? group : line[kIdField]);
  } else if (entry.size() > kGroupField) {
    gid = as_number(entry[kGroupField]);
  }
  if (!gid)
    return fail(Code::kInvalid,
                "the group of the image's USER " + image.user + " is not in its /etc/group");
  spec.uid = *uid;
  spec.gid = *gid;
  return {};
}

}  // namespace

void take_agent_off(std::vector<std::string>& command) {
  if (command.empty() || !is_agent(command.front())) return;
  const auto dashes = std::find(command.begin(), command.end(), "--");
  command.erase(command.begin(), dashes == command.end() ? dashes : dashes + 1);
}

Status take_image_defaults(const DockerImage& image, ContainerSpec& spec) {
  if (spec.command.empty()) {
    auto words = image.entrypoint;
    take_agent_off(words);
    words.insert(words.end(), image.command.begin(), image.command.end());
    spec.command = std::move(words);
  }
  for (const auto& variable : image.env) {
    const std::string name = variable.substr(0, variable.find('=') + 1);
    if (std::none_of(spec.env.begin(), spec.env.end(),
                     [&](const std::string& given) { return given.starts_with(name); }))
      spec.env.push_back(variable);
  }
  if (spec.cwd.empty() || spec.cwd == "/") spec.cwd = image.cwd.empty() ? "/" : image.cwd;
  if (image.user.empty() || spec.uid != 0 || spec.gid != 0) return {};
  return take_user(image, spec);
}

Status mount_image(const DockerImage& image, const std::string& directory) {
  ICON_CHECK(make_directories(directory, 0700));
  if (image.layers.size() == 1) {
    if (mount(image.layers.front().c_str(), directory.c_str(), nullptr, MS_BIND, nullptr) != 0)
      return fail_errno("bind " + image.layers.front());
  } else {
    std::string options = "lowerdir=";
    for (const auto& layer : image.layers) options += (options.ends_with('=') ? "" : ":") + layer;
    if (options.size() > kMountOptionsMax)
      return fail(Code::kLimit, "the image has too many layers (" +
                                    std::to_string(image.layers.size()) + ") to be mounted");
    if (mount("overlay", directory.c_str(), "overlay", MS_RDONLY | MS_NODEV, options.c_str()) != 0)
      return fail_errno("mount the image's layers on " + directory);
  }
  if (mount(nullptr, directory.c_str(), nullptr, MS_PRIVATE, nullptr) != 0)
    return fail_errno("make " + directory + " private");
  return {};
}

Status unmount_image(const std::string& directory) {
  if (umount2(directory.c_str(), UMOUNT_NOFOLLOW | MNT_DETACH) != 0 && errno != EINVAL &&
      errno != ENOENT)
    return fail_errno("unmount " + directory);
  if (rmdir(directory.c_str()) != 0 && errno != ENOENT) return fail_errno("remove " + directory);
  return {};
}

}  // namespace icon::supervisor
