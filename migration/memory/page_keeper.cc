#include "migration/memory/page_keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <new>

namespace icon::migration {
namespace {

constexpr int kRoundsMax = 500;
constexpr int kPauseMs = 10;
constexpr std::string_view kLost =
    "error icon-pages ended before the last page was in place: the processes were ended\n";

// Kills who is in the cgroup now. False: nobody is.
bool kill_all(int cgroup_fd) {
  bool found = false;
  // Anew each time: the kernel keeps a list for as long as one asks the same open file (cgroup v1).
  const int procs_fd = openat(cgroup_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
  std::array<char, 64 << 10> text{};
  const ssize_t count = pread(procs_fd, text.data(), text.size() - 1, 0);
  for (const char* at = text.data(); count > 0 && at < text.data() + count;) {
    char* end = nullptr;
    const long pid = std::strtol(at, &end, 10);
    if (end == at) break;
    if (pid > 1) {
      found = true;
      kill(static_cast<pid_t>(pid), SIGKILL);
    }
    at = end + 1;
  }
  close(procs_fd);
  return found;
}

}  // namespace

Result<PageKeeper> PageKeeper::start() {
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return fail_errno("memory for the keeper of pages");
  auto* shared = new (memory) Shared();
  const int self = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
  if (self < 0) return fail_errno("pidfd of icon-pages");
  const long child = syscall(SYS_clone, CLONE_FILES | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (child < 0) return fail_errno("start the keeper of pages");
  if (child == 0) keep(self, *shared);
  return PageKeeper(shared);
}

void PageKeeper::keep(int page_server, const Shared& shared) {
  prctl(PR_SET_NAME, "icon-keeper");
  pollfd ended{page_server, POLLIN, 0};
  while (poll(&ended, 1, -1) < 1) {
  }
  if (!shared.is_guarding) _exit(0);
  // First those who wait for pages; our own end then closes what they waited on.
  for (int i = 0; i < kRoundsMax && kill_all(shared.cgroup_fd); ++i) poll(nullptr, 0, kPauseMs);
  (void)!write(STDOUT_FILENO, kLost.data(), kLost.size());
  _exit(1);
}

Status PageKeeper::guard(const std::string& cgroup) {
  const int fd = open(cgroup.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail_errno("open " + cgroup);
  shared_->cgroup_fd = fd;
  shared_->is_guarding = true;
  return {};
}

void PageKeeper::let_go() { shared_->is_guarding = false; }

}  // namespace icon::migration
