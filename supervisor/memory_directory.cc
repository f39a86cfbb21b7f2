#include "supervisor/memory_directory.h"

#include <sys/mount.h>
#include <unistd.h>

#include "base/file.h"

namespace icon::supervisor {

Result<MemoryDirectory> MemoryDirectory::create(const std::string& path, std::uint64_t bytes_max) {
  remove_left_over(path);
  ICON_CHECK(make_directories(path, 0700));
  const std::string options = "mode=0700,size=" + std::to_string(bytes_max);
  if (mount("tmpfs", path.c_str(), "tmpfs", MS_NODEV | MS_NOSUID | MS_NOEXEC, options.c_str()) !=
      0) {
    const auto error = fail_errno("mount a tmpfs on " + path);
    rmdir(path.c_str());
    return error;
  }
  MemoryDirectory directory;
  directory.path_ = path;
  return directory;
}

void MemoryDirectory::remove_left_over(const std::string& path) {
  while (umount2(path.c_str(), MNT_DETACH) == 0) {
  }
  rmdir(path.c_str());
}

MemoryDirectory& MemoryDirectory::operator=(MemoryDirectory&& other) noexcept {
  if (this != &other) {
    reset();
    path_ = std::exchange(other.path_, {});
  }
  return *this;
}

void MemoryDirectory::reset() {
  if (!path_.empty()) remove_left_over(std::exchange(path_, {}));
}

}  // namespace icon::supervisor
