#include "supervisor/net/netns_files.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <filesystem>

#include "base/assert.h"
#include "base/file.h"
#include "base/netns.h"

namespace icon::net {
namespace {

constexpr const char* kDirectory = "/run/netns";
constexpr long kNsfsMagic = 0x6e736673;
// A namespace made here hashes its established sockets in a table of its own of this size. CRIU
// walks that table twice per dump: the machine's large one costs 12 ms.
constexpr const char* kEhashFile = "/proc/sys/net/ipv4/tcp_child_ehash_entries";
constexpr const char* kEhashEntries = "1024";

std::string path_of(const std::string& name) { return std::string(kDirectory) + "/" + name; }

// Shared, so that a namespace made here is seen (and can be unmounted) in other mount namespaces.
Status ensure_directory() {
  ICON_CHECK(make_directories(kDirectory));
  if (mount("", kDirectory, "none", MS_SHARED | MS_REC, nullptr) == 0) return {};
  if (errno != EINVAL) return fail_errno("share /run/netns");
  if (mount(kDirectory, kDirectory, "none", MS_BIND | MS_REC, nullptr) != 0)
    return fail_errno("mount /run/netns");
  if (mount("", kDirectory, "none", MS_SHARED | MS_REC, nullptr) != 0)
    return fail_errno("share /run/netns");
  return {};
}

Status create_at(const std::string& path) {
  UniqueFd home(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!home) return fail_errno("open /proc/thread-self/ns/net");
  if (unshare(CLONE_NEWNET) != 0) return fail_errno("create a network namespace");
  const bool mounted =
      mount("/proc/thread-self/ns/net", path.c_str(), "none", MS_BIND, nullptr) == 0;
  const int error = errno;
  ICON_ASSERT(setns(home.get(), CLONE_NEWNET) == 0);
  if (!mounted) return fail_errno("mount network namespace " + path, error);
  return {};
}

bool is_namespace(const UniqueFd& fd) {
  struct statfs info {};
  return fstatfs(fd.get(), &info) == 0 && info.f_type == kNsfsMagic;
}

}  // namespace

Result<UniqueFd> ensure_netns(const std::string& name) {
  // A file without a mount is what a crash between the two steps leaves.
  if (auto existing = open_netns(name); existing && is_namespace(*existing)) return existing;
  ICON_CHECK(ensure_directory());
  const std::string path = path_of(name);
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0444));
  if (!file) return fail_errno("create " + path);
  file.reset();
  const auto before = read_file(kEhashFile, 64);
  if (before) (void)write_kernel_file(kEhashFile, kEhashEntries);
  const auto status = create_at(path);
  if (before) (void)write_kernel_file(kEhashFile, *before);
  if (!status) {
    unlink(path.c_str());
    return fail(status.error());
  }
  return open_netns(name);
}

Status remove_netns(const std::string& name) {
  const std::string path = path_of(name);
  if (umount2(path.c_str(), MNT_DETACH) != 0 && errno != EINVAL && errno != ENOENT)
    return fail_errno("unmount " + path);
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno("remove " + path);
  return {};
}

std::vector<std::string> list_netns(const std::string& prefix) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(kDirectory, error)) {
    const std::string name = entry.path().filename();
    if (name.starts_with(prefix)) names.push_back(name);
  }
  return names;
}

}  // namespace icon::net
