#include "migration/memory/memory_tracker.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>

#include "migration/memory/remote_syscall.h"

namespace icon::migration {
namespace {

// Newer than Debian 12's kernel headers: include/uapi/linux/{userfaultfd,fs}.h of Linux 6.7.
constexpr std::uint64_t kFeatureWriteUnpopulated = 1 << 13;
constexpr std::uint64_t kFeatureWriteAsync = 1 << 15;
struct PageRegion {
  std::uint64_t start;
  std::uint64_t end;
  std::uint64_t categories;
};
struct ScanArgument {
  std::uint64_t size;
  std::uint64_t flags;
  std::uint64_t start;
  std::uint64_t end;
  std::uint64_t walk_end;
  std::uint64_t regions;
  std::uint64_t regions_count;
  std::uint64_t pages_max;
  std::uint64_t category_inverted;
  std::uint64_t category_mask;
  std::uint64_t category_any_of;
  std::uint64_t return_mask;
};
constexpr unsigned long kPagemapScan = _IOWR('f', 16, ScanArgument);
constexpr std::uint64_t kWritten = 1 << 1;
constexpr std::uint64_t kPresent = 1 << 3;
constexpr std::uint64_t kSwapped = 1 << 4;
constexpr std::uint64_t kZeroPage = 1 << 5;
constexpr std::uint64_t kRearm = 1 << 0;          // PM_SCAN_WP_MATCHING
constexpr std::uint64_t kMustBeTracked = 1 << 1;  // PM_SCAN_CHECK_WPASYNC

constexpr std::uint64_t kHardlyUsed = 1 << 20;  // below any program; to unmark it does no harm

constexpr int kKernelMin = 6'014;
constexpr std::size_t kRegions = 16'384;  // per call; 384 KiB

std::string proc(int pid, const char* file) { return "/proc/" + std::to_string(pid) + "/" + file; }

// What CRIU calls lazy, and a little more: private, anonymous, and no page of the kernel's own.
Result<std::vector<MemoryRange>> anonymous_areas(int pid) {
  std::ifstream maps(proc(pid, "maps"));
  if (!maps) return fail(Code::kNotFound, "process " + std::to_string(pid) + " ended");
  std::vector<MemoryRange> areas;
  for (std::string line; std::getline(maps, line);) {
    MemoryRange area;
    char mode[5] = {};
    unsigned long inode = 0;
    int name = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx %4s %*x %*s %lu %n", &area.start, &area.end, mode,
                    &inode, &name) < 4 ||
        mode[3] != 'p' || inode != 0)
      continue;
    const std::string_view title = std::string_view(line).substr(static_cast<std::size_t>(name));
    if (title.starts_with("[v")) continue;  // vdso, vvar, vsyscall
    areas.push_back(area);
  }
  return areas;
}

// Appends the ranges of `area` that `flags` and `wanted` ask for. False: EPERM, the area is not
// tracked.
Result<bool> scan(int pagemap, const MemoryRange& area, std::uint64_t flags, std::uint64_t wanted,
                  std::vector<MemoryRange>& out) {
  thread_local std::vector<PageRegion> regions(kRegions);
  const std::size_t first = out.size();
  for (std::uint64_t at = area.start; at < area.end;) {
    ScanArgument argument{};
    argument.size = sizeof argument;
    argument.flags = flags;
    argument.start = at;
    argument.end = area.end;
    argument.regions = reinterpret_cast<std::uint64_t>(regions.data());
    argument.regions_count = regions.size();
    argument.category_mask = wanted | kZeroPage;
    argument.category_inverted = kZeroPage;
    argument.category_any_of = kPresent | kSwapped;
    argument.return_mask = kPresent;
    const int count = ioctl(pagemap, kPagemapScan, &argument);
    if (count < 0 && errno == EPERM && flags != 0) return false;
    if (count < 0 && (errno == ESRCH || errno == ENOENT))
      return fail(Code::kNotFound, "the process ended");
    if (count < 0) return fail_errno("PAGEMAP_SCAN");
    for (int i = 0; i < count; ++i) {
      const auto& region = regions[static_cast<std::size_t>(i)];
      if (out.size() > first && out.back().end == region.start)
        out.back().end = region.end;
      else
        out.push_back({region.start, region.end});
    }
    if (argument.walk_end <= at) break;
    at = argument.walk_end;
  }
  return true;
}

Result<UniqueFd> open_pagemap(int pid) {
  UniqueFd pagemap(open(proc(pid, "pagemap").c_str(), O_RDONLY | O_CLOEXEC));
  if (!pagemap) return fail_errno("open " + proc(pid, "pagemap"));
  return pagemap;
}

// userfaultfd(2) inside the process; the descriptor is ours, the process keeps none.
Result<UniqueFd> userfault_of(int pid) {
  UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!process) return fail_errno("pidfd of process " + std::to_string(pid));
  ICON_TRY(StoppedProcess stopped, StoppedProcess::stop(pid));
  ICON_TRY(long made, stopped.call(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));
  if (made < 0) {
    // Without the privilege it is given for faults of user mode; the asynchronous mode needs no
    // more.
    ICON_TRY(made, stopped.call(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY));
  }
  if (made < 0)
    return fail_errno("userfaultfd in process " + std::to_string(pid), static_cast<int>(-made));
  UniqueFd ours(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), made, 0)));
  const int error = errno;
  ICON_TRY(const long closed, stopped.call(SYS_close, made));
  if (!ours) return fail_errno("take the userfaultfd", error);
  if (closed < 0) return fail(Code::kIo, "the process keeps a userfaultfd that was ours");
  return ours;
}

Status enable(int userfault) {
  uffdio_api api{};
  api.api = UFFD_API;
  api.features = kFeatureWriteAsync | kFeatureWriteUnpopulated | UFFD_FEATURE_PAGEFAULT_FLAG_WP |
                 UFFD_FEATURE_WP_HUGETLBFS_SHMEM;
  if (ioctl(userfault, UFFDIO_API, &api) != 0)
    return fail(Code::kUnavailable,
                "this kernel has no asynchronous write protection (userfaultfd, Linux 6.7)");
  return {};
}

}  // namespace

Status MemoryTracker::available() {
  // Before, mremap(2) took the marks along: pages would look unchanged where they never were.
  utsname kernel{};
  int major = 0;
  int minor = 0;
  if (uname(&kernel) != 0 || std::sscanf(kernel.release, "%d.%d", &major, &minor) != 2 ||
      major * 1000 + minor < kKernelMin)
    return fail(Code::kUnavailable, std::string("Linux ") + kernel.release +
                                        " is older than 6.14: memory cannot be tracked");
  UniqueFd userfault(static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY)));
  if (!userfault)
    return fail(Code::kUnavailable, "this kernel offers no userfaultfd (CONFIG_USERFAULTFD)");
  ICON_CHECK(enable(userfault.get()));
  return present_memory(getpid()) ? Status() : fail(Code::kUnavailable, "no PAGEMAP_SCAN");
}

Result<MemoryTracker> MemoryTracker::attach(int pid) {
  ICON_TRY(UniqueFd pagemap, open_pagemap(pid));
  ICON_TRY(UniqueFd userfault, userfault_of(pid));
  ICON_CHECK(enable(userfault.get()));
  return MemoryTracker(pid, std::move(userfault), std::move(pagemap));
}

// Memory that was mapped since, or that the kernel has dropped: mremap(2) takes a mapping out, and
// with it a neighbour that it is merged with, while their pages keep their marks.
Status MemoryTracker::begin_tracking(const MemoryRange& area) {
  uffdio_register request{};
  request.range = {area.start, area.bytes()};
  request.mode = UFFDIO_REGISTER_MODE_WP;
  if (ioctl(userfault_.get(), UFFDIO_REGISTER, &request) != 0) return fail_errno("UFFDIO_REGISTER");
  uffdio_writeprotect unmark{};
  unmark.range = request.range;
  if (ioctl(userfault_.get(), UFFDIO_WRITEPROTECT, &unmark) != 0)
    return fail_errno("UFFDIO_WRITEPROTECT");
  return {};
}

// After execve(2) the descriptors mean memory that is gone: it would look as if nothing had been
// written, while what was sent before is not what is there now.
bool MemoryTracker::has_lost_memory() const {
  uffdio_writeprotect nothing{};
  nothing.range = {kHardlyUsed, kPageBytes};
  return ioctl(userfault_.get(), UFFDIO_WRITEPROTECT, &nothing) != 0 && errno == ESRCH;
}

Result<std::vector<MemoryRange>> MemoryTracker::written() {
  ICON_TRY(auto ranges, scan_all());
  if (has_lost_memory())
    return fail(Code::kNotFound, "process " + std::to_string(pid_) + " is another program now");
  return ranges;
}

bool MemoryTracker::was_foreign(const MemoryRange& area) const {
  return std::any_of(foreign_.begin(), foreign_.end(), [&](const MemoryRange& other) {
    return area.start < other.end && other.start < area.end;
  });
}

Result<std::vector<MemoryRange>> MemoryTracker::scan_all() {
  ICON_TRY(const auto areas, anonymous_areas(pid_));
  std::vector<MemoryRange> ranges;
  std::vector<MemoryRange> foreign;
  for (const auto& area : areas) {
    const std::size_t before = ranges.size();
    bool tracked = false;
    if (!was_foreign(area)) {
      ICON_TRY(tracked, scan(pagemap_.get(), area, kRearm | kMustBeTracked, kWritten, ranges));
    }
    if (tracked) continue;
    ranges.resize(before);
    if (begin_tracking(area)) {
      ICON_TRY(tracked, scan(pagemap_.get(), area, kRearm | kMustBeTracked, kWritten, ranges));
    }
    if (tracked) continue;
    // Somebody else's userfaultfd, or changed this very moment: all of it counts as written.
    ranges.resize(before);
    ICON_CHECK(scan(pagemap_.get(), area, 0, 0, ranges));
    foreign.push_back(area);
  }
  foreign_ = std::move(foreign);
  return ranges;
}

Result<std::vector<MemoryRange>> present_memory(int pid) {
  ICON_TRY(const auto areas, anonymous_areas(pid));
  ICON_TRY(const UniqueFd pagemap, open_pagemap(pid));
  std::vector<MemoryRange> ranges;
  for (const auto& area : areas) ICON_CHECK(scan(pagemap.get(), area, 0, 0, ranges));
  return ranges;
}

Result<std::uint32_t> inner_pid(int pid) {
  std::ifstream status(proc(pid, "status"));
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with("NSpid:")) continue;
    const auto at = line.find_last_of("\t ") + 1;
    std::uint32_t inner = 0;
    if (std::from_chars(line.data() + at, line.data() + line.size(), inner).ec == std::errc())
      return inner;
  }
  return fail(Code::kNotFound, "process " + std::to_string(pid) + " ended");
}

}  // namespace icon::migration
