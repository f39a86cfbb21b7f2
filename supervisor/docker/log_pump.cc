#include "supervisor/docker/log_pump.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/fd.h"
#include "supervisor/safe_path.h"

namespace icon::supervisor {
namespace {

constexpr std::size_t kChunkBytes = 64 << 10;

bool write_all(const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t count = write(STDOUT_FILENO, data, size);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    data += count;
    size -= static_cast<std::size_t>(count);
  }
  return true;
}

// The file is the container's: it may be cut (the agent keeps it small), replaced or no file at
// all.
class ServiceLog {
 public:
  explicit ServiceLog(const std::string& run_directory) : run_directory_(run_directory) {}

  // What is new goes to standard output. False: nobody reads there any more.
  bool copy_news() {
    const auto file =
        open_in_root(run_directory_, "/log/service.log", O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    struct stat info {};
    if (!file || fstat(file->get(), &info) != 0 || !S_ISREG(info.st_mode)) return true;
    if (info.st_ino != inode_ || info.st_size < offset_) offset_ = 0;
    inode_ = info.st_ino;
    std::array<char, kChunkBytes> chunk;
    for (ssize_t count; (count = pread(file->get(), chunk.data(), chunk.size(), offset_)) > 0;
         offset_ += count)
      if (!write_all(chunk.data(), static_cast<std::size_t>(count))) return false;
    return true;
  }

 private:
  const std::string run_directory_;
  ino_t inode_ = 0;
  off_t offset_ = 0;
};

}  // namespace

Status pump_service_log(const std::string& run_directory, int init_pidfd) {
  ICON_TRY(const auto directory,
           open_in_root(run_directory, "/log", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  const UniqueFd news(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  const std::string path = "/proc/self/fd/" + std::to_string(directory.get());
  if (!news || inotify_add_watch(news.get(), path.c_str(),
                                 IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_ONLYDIR) < 0)
    return fail_errno("watch " + run_directory + "/log");
  ServiceLog log(run_directory);
  pollfd waits[] = {{init_pidfd, POLLIN, 0}, {news.get(), POLLIN, 0}};
  for (;;) {
    if (!log.copy_news()) return {};
    if (waits[0].revents != 0) return {};
    if (poll(waits, 2, -1) < 0 && errno != EINTR) return fail_errno("poll");
    std::array<char, 4096> events;
    while (read(news.get(), events.data(), events.size()) > 0) continue;
  }
}

}  // namespace icon::supervisor
