#include "migration/movable/proc_files.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstring>
#include <filesystem>

#include "base/fd.h"

namespace icon::migration {
namespace {

namespace fs = std::filesystem;

constexpr long kQueueMagic = 0x19800202;  // of mqueue; the kernel's headers do not export it
constexpr std::size_t kSearchedMax = 50'000;
constexpr std::string_view kDeleted = " (deleted)";

// Where CRIU 4.2.1 looks for watched files whose handles it cannot open (irmap.c).
constexpr std::array kSearchedDirectories = {"/etc",
                                             "/var/spool",
                                             "/var/log",
                                             "/usr/share/dbus-1/services",
                                             "/usr/share/dbus-1/system-services",
                                             "/var/lib/polkit-1/localauthority",
                                             "/usr/share/polkit-1/actions",
                                             "/lib/udev"};

// Without asking a file system's server: that may be the very process.
std::optional<struct statx> look_at(const std::string& path, int flags = 0) {
  struct statx facts {};
  if (statx(AT_FDCWD, path.c_str(), flags | AT_STATX_DONT_SYNC, STATX_BASIC_STATS | STATX_MNT_ID,
            &facts) != 0)
    return std::nullopt;
  return facts;
}

DeviceNumber device_of(const struct statx& facts) {
  return {facts.stx_dev_major, facts.stx_dev_minor};
}

// The file system of memfd and of shared anonymous memory: nobody sees its mount, and CRIU knows
// it.
DeviceNumber shared_memory_device() {
  static const DeviceNumber device = [] {
    const UniqueFd fd(memfd_create("icon", MFD_CLOEXEC));
    const auto facts = look_at("/proc/self/fd/" + std::to_string(fd.get()));
    return facts ? device_of(*facts) : DeviceNumber{};
  }();
  return device;
}

bool is_that(const std::string& path, const Watch& watch) {
  const auto facts = look_at(path, AT_SYMLINK_NOFOLLOW);
  return facts && facts->stx_ino == watch.inode && device_of(*facts) == watch.device;
}

bool is_below(const std::string& directory, const Watch& watch, std::size_t& searched) {
  if (is_that(directory, watch)) return true;
  std::error_code error;
  fs::recursive_directory_iterator entry(directory, fs::directory_options::skip_permission_denied,
                                         error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error))
    if (++searched > kSearchedMax || is_that(entry->path(), watch)) return searched <= kSearchedMax;
  return false;
}

// EPERM says nothing about the handle.
bool handle_opens(const Watch& watch, const std::string& mountpoint) {
  const UniqueFd mount(open(mountpoint.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!mount) return false;
  union {
    file_handle handle;
    std::array<char, sizeof(file_handle) + kHandleBytesMax> room{};
  };
  handle.handle_bytes = static_cast<unsigned>(watch.handle.size());
  handle.handle_type = watch.handle_type;
  std::memcpy(handle.f_handle, watch.handle.data(), watch.handle.size());
  const UniqueFd opened(open_by_handle_at(mount.get(), &handle, O_PATH | O_CLOEXEC));
  return opened || errno == EPERM;
}

}  // namespace

std::string proc_path(int pid, const std::string& name) {
  return "/proc/" + std::to_string(pid) + "/" + name;
}

std::vector<int> numbers_in(const std::string& directory) {
  std::vector<int> numbers;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    const std::string name = entry->path().filename();
    int number = 0;
    const auto read = std::from_chars(name.data(), name.data() + name.size(), number);
    if (read.ec == std::errc() && read.ptr == name.data() + name.size()) numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

std::optional<std::string> link_target(const std::string& path) {
  std::array<char, PATH_MAX + kDeleted.size()> buffer;
  const ssize_t size = readlink(path.c_str(), buffer.data(), buffer.size());
  if (size < 0) return std::nullopt;
  return std::string(buffer.data(), static_cast<std::size_t>(size));
}

Result<std::string> read_start(const std::string& path, std::size_t bytes_max) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno("read " + path);
  std::string text;
  char chunk[16384];
  while (text.size() < bytes_max) {
    const ssize_t count = read(fd.get(), chunk, std::min(sizeof chunk, bytes_max - text.size()));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("read " + path);
    if (count == 0) break;
    text.append(chunk, static_cast<std::size_t>(count));
  }
  return text;
}

Namespaces namespaces_in(const std::string& directory, std::span<const char* const> names) {
  Namespaces namespaces;
  for (const char* name : names) {
    const auto target = link_target(directory + "/" + name);  // "net:[4026531840]"
    if (!target) continue;
    const auto from = target->find('[');
    std::uint64_t inode = 0;
    if (from == std::string::npos ||
        std::from_chars(target->data() + from + 1, target->data() + target->size(), inode).ec !=
            std::errc())
      continue;
    namespaces[name] = inode;
  }
  return namespaces;
}

std::optional<FileFacts> facts_of(const std::string& link, const std::string& target,
                                  const std::string& root) {
  const auto seen = look_at(link);
  if (!seen) return std::nullopt;
  FileFacts facts;
  facts.mode = seen->stx_mode;
  facts.node = {seen->stx_rdev_major, seen->stx_rdev_minor};
  facts.links = seen->stx_nlink;
  facts.bytes = seen->stx_blocks * 512;
  const bool is_memory = device_of(*seen) == shared_memory_device();
  if ((seen->stx_mask & STATX_MNT_ID) != 0 && !is_memory)
    facts.mount = static_cast<int>(seen->stx_mnt_id);
  if (target.ends_with(kDeleted)) {
    const auto there = look_at(root + target, AT_SYMLINK_NOFOLLOW);  // it may really be called so
    facts.named = there && there->stx_ino == seen->stx_ino && device_of(*there) == device_of(*seen);
    if (is_memory) facts.bytes = 0;
  }
  return facts;
}

bool is_message_queue(const std::string& link) {
  struct statfs system {};
  return statfs(link.c_str(), &system) == 0 && system.f_type == kQueueMagic;
}

bool watch_can_be_found(const Watch& watch, const std::vector<Mount>& mounts,
                        const std::string& root) {
  // Its server may answer never; the mount is an obstacle anyway.
  for (const auto& mount : mounts)
    if (mount.type.starts_with("fuse")) return true;
  for (const auto& mount : mounts)
    if (mount.device == watch.device && !watch.handle.empty() &&
        handle_opens(watch, root + mount.point))
      return true;
  std::size_t searched = 0;
  for (const char* directory : kSearchedDirectories)
    if (is_below(root + directory, watch, searched)) return true;
  return is_that(root + "/.", watch);
}

}  // namespace icon::migration
