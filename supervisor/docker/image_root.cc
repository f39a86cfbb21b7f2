#include "supervisor/docker/image_root.h"

#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "base/file.h"

namespace icon::supervisor {
namespace {

constexpr std::size_t kMountOptionsMax = 4095;  // a page

bool is_agent(const std::string& word) {
  return word == "icon-agent" || word.ends_with("/icon-agent");
}

Result<std::uint32_t> parse_id(std::string_view text, const std::string& user) {
  std::uint32_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size())
    return fail(Code::kInvalid,
                "the image's USER " + user + " is a name: give --rootfs, or numbers in the image");
  return id;
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
  const auto colon = image.user.find(':');
  ICON_TRY(spec.uid, parse_id(std::string_view(image.user).substr(0, colon), image.user));
  if (colon != std::string::npos) {
    ICON_TRY(spec.gid, parse_id(std::string_view(image.user).substr(colon + 1), image.user));
  }
  return {};
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
