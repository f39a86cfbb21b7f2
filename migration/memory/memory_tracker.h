// Which pages of a running process change, without its help: userfaultfd(2) write protection in
// asynchronous mode, registered from inside (remote_syscall.h), read and re-armed from outside with
// PAGEMAP_SCAN (Linux 6.7; relied on since 6.14). The kernel resolves the faults itself: the
// process never waits for us, and when we die all is as it was. Only private anonymous memory: CRIU
// writes the rest.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace icon::migration {

inline constexpr std::uint64_t kPageBytes = 4096;

// [start, end), whole pages.
struct MemoryRange {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::uint64_t bytes() const { return end - start; }
  auto operator<=>(const MemoryRange&) const = default;
};

class MemoryTracker {
 public:
  // Whether this kernel can do it. Errors: kUnavailable, with the reason.
  static Status available();
  // Errors: those of StoppedProcess; kUnavailable.
  static Result<MemoryTracker> attach(int pid);

  // What was written since the last call, in ascending order; everything that is there the first
  // time. New memory is tracked from this call on. Errors: kNotFound (it ended, or has become
  // another program: attach again), kIo.
  Result<std::vector<MemoryRange>> written();

 private:
  MemoryTracker(int pid, UniqueFd userfault, UniqueFd pagemap)
      : pid_(pid), userfault_(std::move(userfault)), pagemap_(std::move(pagemap)) {}
  Status begin_tracking(const MemoryRange& area);
  Result<std::vector<MemoryRange>> scan_all();
  bool has_lost_memory() const;
  bool was_foreign(const MemoryRange& area) const;

  int pid_;
  UniqueFd userfault_;
  UniqueFd pagemap_;
  // What somebody else tracked at the last look, such as a tracker that is being let go of: its
  // marks say nothing of what we have seen. Before the first look it may be anything.
  std::vector<MemoryRange> foreign_{{0, UINT64_MAX}};
};

// Every page of private anonymous memory that is there and is not the zero page. Errors: kNotFound,
// kIo, kUnavailable.
Result<std::vector<MemoryRange>> present_memory(int pid);

// The process's id in its innermost PID namespace: its name in a checkpoint. Errors: kNotFound.
Result<std::uint32_t> inner_pid(int pid);

}  // namespace icon::migration
