// Gives restored processes their memory: page faults first, the rest in the background, until all
// is there. userfaultfd(2) in missing mode, with the descriptors that CRIU hands over. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "migration/memory/lazy_memory.h"
#include "migration/memory/page_store.h"

namespace icon::migration {

class PageServer {
 public:
  // `store` must outlive the server.
  explicit PageServer(PageStore& store) : store_(store) {}

  void add(std::uint32_t pid, UniqueFd userfault, const std::vector<MemoryRange>& ranges);

  // One turn: answers what is asked for and, with `fill`, brings a little of the rest; waits up to
  // `wait_ms` when there is nothing to do, also for `other` to become readable (-1: none). True
  // when it is. Errors: kIo: a page could not be given, the process must not live.
  Result<bool> turn(int other, bool fill, int wait_ms);
  // All memory of all processes is there.
  bool complete() const;

  struct Statistics {
    std::uint64_t faults = 0;
    std::uint64_t zero_faults = 0;  // of them, for pages that the checkpoint does not have
    std::uint64_t pages_filled = 0;
  };
  const Statistics& statistics() const { return statistics_; }

 private:
  struct Process {
    std::uint32_t pid;
    UniqueFd userfault;
    LazyMemory memory;
    std::uint64_t cursor = 0;
    bool ended = false;
  };
  Status read_events(Process& process);
  Status serve_fault(Process& process, std::uint64_t address);
  Status fill_some(Process& process, std::uint64_t address, std::size_t pages_max);
  Status fill_next();
  // UFFDIO_COPY of up to `pages_max` pages to `piece`. Errors: kIo.
  Result<std::uint64_t> copy(Process& process, const LazyMemory::Piece& piece,
                             std::size_t pages_max);

  PageStore& store_;
  std::list<Process> processes_;
  std::vector<PageStore::Recent> recent_;
  std::size_t recent_at_ = 0;
  bool has_recent_ = false;
  bool has_forked_ = false;
  Statistics statistics_;
};

}  // namespace icon::migration
