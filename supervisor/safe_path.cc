#include "supervisor/safe_path.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>

namespace icon::supervisor {
namespace {

Result<UniqueFd> open_directory(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return fail_errno("open " + path);
  return fd;
}

Result<UniqueFd> open_below(const UniqueFd& root, const std::string& path, int flags,
                            unsigned mode) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.mode = mode;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  UniqueFd fd(static_cast<int>(syscall(SYS_openat2, root.get(), path.c_str(), &how, sizeof how)));
  if (!fd) return fail_errno("open " + path + " in the container's root");
  return fd;
}

struct Split {
  std::string parent;
  std::string name;
};
Split split(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

}  // namespace

Result<UniqueFd> open_in_root(const std::string& root, const std::string& path, int flags,
                              unsigned mode) {
  ICON_TRY(const auto directory, open_directory(root));
  return open_below(directory, path, flags, mode);
}

Status make_directories_in_root(const std::string& root, const std::string& path, unsigned mode) {
  ICON_TRY(const auto directory, open_directory(root));
  for (std::size_t at = 0; at < path.size();) {
    const auto next = std::min(path.find('/', at + 1), path.size());
    const auto [parent, name] = split(path.substr(0, next));
    at = next;
    if (name.empty()) continue;
    ICON_TRY(const auto place, open_below(directory, parent, O_PATH | O_DIRECTORY, 0));
    if (mkdirat(place.get(), name.c_str(), mode) != 0 && errno != EEXIST)
      return fail_errno("mkdir " + path + " in the container's root");
  }
  return {};
}

Status write_file_in_root(const std::string& root, const std::string& path,
                          std::string_view content, unsigned mode) {
  ICON_TRY(const auto directory, open_directory(root));
  const auto [parent, name] = split(path);
  ICON_TRY(const auto place, open_below(directory, parent, O_PATH | O_DIRECTORY, 0));
  if (unlinkat(place.get(), name.c_str(), 0) != 0 && errno != ENOENT)
    return fail_errno("replace " + path + " in the container's root");
  const UniqueFd file(openat(place.get(), name.c_str(),
                             O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  if (!file) return fail_errno("create " + path + " in the container's root");
  if (fchmod(file.get(), mode) != 0) return fail_errno("chmod " + path);
  while (!content.empty()) {
    const ssize_t count = write(file.get(), content.data(), content.size());
    if (count < 0) {
      if (errno == EINTR) continue;
      return fail_errno("write " + path);
    }
    content.remove_prefix(static_cast<std::size_t>(count));
  }
  return {};
}

bool is_executable_in_root(const std::string& root, const std::string& path) {
  const auto file = open_in_root(root, path, O_PATH);
  struct stat info {};
  return file && fstat(file->get(), &info) == 0 && S_ISREG(info.st_mode) &&
         (info.st_mode & 0111) != 0;
}

}  // namespace icon::supervisor
