#include "agent/log_limit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/fd.h"
#include "base/file.h"

namespace icon::agent {

Status limit_log(const std::string& path, LogLimits limits) {
  const UniqueFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return errno == ENOENT ? Status{} : fail_errno("open " + path);
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return fail_errno("stat " + path);
  if (!S_ISREG(info.st_mode) || static_cast<std::size_t>(info.st_size) <= limits.bytes_max)
    return {};

  std::string tail(limits.bytes_kept, '\0');
  const ssize_t count =
      pread(fd.get(), tail.data(), tail.size(), info.st_size - static_cast<off_t>(tail.size()));
  if (count < 0) return fail_errno("read " + path);
  tail.resize(static_cast<std::size_t>(count));
  // From a whole line on, where there is one.
  if (const auto end = tail.find('\n'); end != std::string::npos) tail.erase(0, end + 1);
  ICON_CHECK(write_file_atomic(path + ".old", tail, 0640));
  if (ftruncate(fd.get(), 0) != 0) return fail_errno("cut " + path);
  return {};
}

}  // namespace icon::agent
