#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "base/fd.h"

namespace icon {
namespace {

Status write_all(int fd, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t count = write(fd, content.data(), content.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("write " + path);
    content.remove_prefix(static_cast<std::size_t>(count));
  }
  return {};
}

// The new name, too, survives a power cut.
Status sync_directory_of(const std::string& path) {
  const auto slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  UniqueFd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Some file systems cannot sync a directory: then the file's own sync has to do.
  if (!fd || (fsync(fd.get()) != 0 && errno != EINVAL)) return fail_errno("sync " + directory);
  return {};
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t bytes_max) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno("read " + path);
  std::string content;
  char chunk[16384];
  for (;;) {
    const ssize_t count = read(fd.get(), chunk, sizeof chunk);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("read " + path);
    if (count == 0) return content;
    if (content.size() + static_cast<std::size_t>(count) > bytes_max)
      return fail(Code::kLimit, path + " is larger than " + std::to_string(bytes_max) + " bytes");
    content.append(chunk, static_cast<std::size_t>(count));
  }
}

Status write_file_atomic(const std::string& path, std::string_view content, unsigned mode) {
  std::string temporary = path + ".XXXXXX";
  UniqueFd fd(mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd) return fail_errno("create " + temporary);
  auto status = write_all(fd.get(), content, path);
  if (status && (fchmod(fd.get(), mode) != 0 || fsync(fd.get()) != 0 ||
                 rename(temporary.c_str(), path.c_str()) != 0))
    status = fail_errno("write " + path);
  if (!status) {
    unlink(temporary.c_str());
    return status;
  }
  return sync_directory_of(path);
}

Status write_kernel_file(const std::string& path, std::string_view content) {
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return fail_errno("open " + path);
  if (write(fd.get(), content.data(), content.size()) < 0) return fail_errno("write " + path);
  return {};
}

Status make_directories(const std::string& path, unsigned mode) {
  for (std::size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    if (mkdir(part.c_str(), mode) != 0) {
      struct stat info {};
      const int error = errno;
      if (error != EEXIST || stat(part.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
        return fail_errno("mkdir " + part, error);
    }
    if (slash == std::string::npos) return {};
  }
}

std::string find_above(const std::string& directory, const std::string& relative) {
  for (std::string at = directory; !at.empty(); at = at.substr(0, at.rfind('/'))) {
    const std::string candidate = at + "/" + relative;
    if (access(candidate.c_str(), F_OK) == 0) return candidate;
    if (at.find('/') == std::string::npos) break;
  }
  return {};
}

}  // namespace icon
