#include "migration/beneath.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

namespace icon::migration {
namespace {

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

Result<UniqueFd> open_beneath(const UniqueFd& tree, const std::string& relative, int flags) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_DIRECTORY | O_CLOEXEC);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  UniqueFd fd(
      static_cast<int>(syscall(SYS_openat2, tree.get(), relative.c_str(), &how, sizeof how)));
  if (fd) return fd;
  if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
    return fail(Code::kNotFound, "no directory " + relative + " any more");
  return fail_errno("open directory " + relative);
}

bool is_directory(DIR* parent, const dirent& entry) {
  if (entry.d_type != DT_UNKNOWN) return entry.d_type == DT_DIR;
  struct stat info {};
  return fstatat(dirfd(parent), entry.d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISDIR(info.st_mode);
}

// Adds what lies in one directory to `paths`, and those of it that are directories to `below`.
Status list_directory(const UniqueFd& tree, const std::string& relative,
                      std::vector<std::string>& paths, std::vector<std::string>& below) {
  auto opened = open_beneath(tree, relative.empty() ? "." : relative, O_RDONLY);
  // A running service may remove it under the walk; all the others are still worth having.
  if (!opened && opened.error().code == Code::kNotFound) return {};
  if (!opened) return fail(opened.error());
  const std::unique_ptr<DIR, CloseDirectory> directory(fdopendir(opened->get()));
  if (!directory) return fail_errno("read directory " + relative);
  (void)opened->release();  // the stream's now
  const std::string prefix = relative.empty() ? "" : relative + "/";
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(directory.get());
    if (entry == nullptr) break;
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    paths.push_back(prefix + name);
    if (is_directory(directory.get(), *entry)) below.push_back(paths.back());
  }
  if (errno != 0 && errno != ENOENT) return fail_errno("read directory " + relative);
  return {};
}

}  // namespace

Result<UniqueFd> open_tree(const std::string& directory) {
  UniqueFd fd(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return fail_errno("open " + directory);
  return fd;
}

Result<Place> find_place(const UniqueFd& tree, const std::string& relative) {
  const auto slash = relative.rfind('/');
  const std::string name = slash == std::string::npos ? relative : relative.substr(slash + 1);
  const std::string way = slash == std::string::npos ? "." : relative.substr(0, slash);
  if (name.empty() || name == "." || name == ".." || way.empty())
    return fail(Code::kInvalid, "no path below a directory: '" + relative.substr(0, 80) + "'");
  ICON_TRY(UniqueFd parent, open_beneath(tree, way, O_PATH));
  const std::string path = "/proc/self/fd/" + std::to_string(parent.get()) + "/" + name;
  return Place{std::move(parent), path};
}

Result<std::vector<std::string>> list_tree(const std::string& directory) {
  ICON_TRY(const UniqueFd tree, open_tree(directory));
  std::vector<std::string> paths;
  std::vector<std::string> below{""};
  while (!below.empty()) {
    const std::string next = std::move(below.back());
    below.pop_back();
    if (auto listed = list_directory(tree, next, paths, below); !listed)
      return fail(listed.error().code, directory + ": " + listed.error().message);
  }
  std::sort(paths.begin(), paths.end());
  // What is removed and made again under the walk may be met twice.
  paths.erase(std::unique(paths.begin(), paths.end()), paths.end());
  return paths;
}

}  // namespace icon::migration
