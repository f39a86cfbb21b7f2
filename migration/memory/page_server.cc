#include "migration/memory/page_server.h"

#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>

namespace icon::migration {
namespace {

constexpr std::size_t kFaultPages = 16;  // brought along with the one that was asked for
constexpr std::size_t kFillPages = 64;   // between two looks at the faults: some 30 us
constexpr std::size_t kEvents = 32;

Status wake(int userfault, std::uint64_t address) {
  uffdio_range range{address, kPageBytes};
  if (ioctl(userfault, UFFDIO_WAKE, &range) != 0 && errno != ENOENT && errno != ESRCH)
    return fail_errno("UFFDIO_WAKE");
  return {};
}

}  // namespace

void PageServer::add(std::uint32_t pid, UniqueFd userfault,
                     const std::vector<MemoryRange>& ranges) {
  processes_.push_back({pid, std::move(userfault), LazyMemory(ranges)});
}

bool PageServer::complete() const {
  return std::all_of(processes_.begin(), processes_.end(), [](const Process& process) {
    return process.ended || process.memory.empty();
  });
}

Result<bool> PageServer::turn(int other, bool fill, int wait_ms) {
  std::vector<pollfd> fds{{other, POLLIN, 0}};
  for (const auto& process : processes_)
    fds.push_back({process.ended ? -1 : process.userfault.get(), POLLIN, 0});
  if (poll(fds.data(), fds.size(), fill && !complete() ? 0 : wait_ms) < 0 && errno != EINTR)
    return fail_errno("poll");
  std::size_t i = 1;
  bool was_asked = false;
  // A fork adds to the list's end: those wait for the next turn.
  for (auto process = processes_.begin(); i < fds.size(); ++i, ++process) {
    if (fds[i].revents == 0) continue;
    was_asked = true;
    ICON_CHECK(read_events(*process));
  }
  if (fill && !was_asked) ICON_CHECK(fill_next());
  return fds[0].revents != 0;
}

Status PageServer::read_events(Process& process) {
  std::array<uffd_msg, kEvents> events;
  const ssize_t bytes = read(process.userfault.get(), events.data(), sizeof events);
  if (bytes < 0 && (errno == EAGAIN || errno == EINTR)) return {};
  if (bytes <= 0) {
    process.ended = true;
    return {};
  }
  for (std::size_t i = 0; i < static_cast<std::size_t>(bytes) / sizeof(uffd_msg); ++i) {
    const auto& event = events[i];
    switch (event.event) {
      case UFFD_EVENT_PAGEFAULT:
        ICON_CHECK(serve_fault(process, event.arg.pagefault.address & ~(kPageBytes - 1)));
        break;
      case UFFD_EVENT_FORK: {
        has_forked_ = true;
        Process child{process.pid, UniqueFd(static_cast<int>(event.arg.fork.ufd)), process.memory};
        processes_.push_back(std::move(child));
        break;
      }
      case UFFD_EVENT_REMAP:
        process.memory.move(event.arg.remap.from, event.arg.remap.to, event.arg.remap.len);
        break;
      case UFFD_EVENT_REMOVE:
      case UFFD_EVENT_UNMAP:
        process.memory.remove({event.arg.remove.start, event.arg.remove.end});
        break;
      default:
        break;
    }
  }
  return {};
}

Status PageServer::serve_fault(Process& process, std::uint64_t address) {
  ++statistics_.faults;
  if (process.memory.at(address)) return fill_some(process, address, kFaultPages);
  ++statistics_.zero_faults;
  for (;;) {
    uffdio_zeropage zero{};
    zero.range = {address, kPageBytes};
    if (ioctl(process.userfault.get(), UFFDIO_ZEROPAGE, &zero) == 0) return {};
    if (errno == EEXIST) return wake(process.userfault.get(), address);
    if (errno == ENOENT) return wake(process.userfault.get(), address);  // unmapped meanwhile
    if (errno == ESRCH) {
      process.ended = true;
      return {};
    }
    // The memory is being rearranged: the event that says so must be read first.
    if (errno != EAGAIN) return fail_errno("UFFDIO_ZEROPAGE");
    ICON_CHECK(read_events(process));
    if (process.memory.at(address)) return fill_some(process, address, kFaultPages);
  }
}

Result<std::uint64_t> PageServer::copy(Process& process, const LazyMemory::Piece& piece,
                                       std::size_t pages_max) {
  const std::size_t wanted = std::min<std::uint64_t>(pages_max, piece.bytes / kPageBytes);
  const auto pages = store_.find(process.pid, piece.origin, wanted);
  if (pages.empty())
    return fail(Code::kInternal,
                "a page of process " + std::to_string(process.pid) + " never arrived");
  uffdio_copy request{};
  request.dst = piece.address;
  request.src = reinterpret_cast<std::uint64_t>(pages.data());
  request.len = pages.size();
  int error = 0;
  // ENOENT: the piece goes over the end of a mapping into the next one; a single page does not.
  while (ioctl(process.userfault.get(), UFFDIO_COPY, &request) != 0) {
    error = errno;
    if (error != ENOENT || request.len == kPageBytes) break;
    request.len = kPageBytes;
    request.copy = 0;
    error = 0;
  }
  if (error == 0) request.copy = static_cast<std::int64_t>(request.len);
  std::uint64_t done = 0;
  if (request.copy > 0) {
    done = static_cast<std::uint64_t>(request.copy);
    statistics_.pages_filled += done / kPageBytes;
    if (!has_forked_) PageStore::drop(pages.first(done));
  } else if (error == EEXIST) {
    done = kPageBytes;  // it is there already
    ICON_CHECK(wake(process.userfault.get(), piece.address));
  } else if (error == ENOENT) {
    done = kPageBytes;  // unmapped meanwhile, as an event will say
    ICON_CHECK(wake(process.userfault.get(), piece.address));
  } else if (error == ESRCH) {
    process.ended = true;
    return 0;
  } else if (error == EAGAIN) {
    ICON_CHECK(read_events(process));
    return 0;
  } else {
    return fail_errno("UFFDIO_COPY", error);
  }
  process.memory.remove({piece.address, piece.address + done});
  return done;
}

Status PageServer::fill_some(Process& process, std::uint64_t address, std::size_t pages_max) {
  while (!process.ended) {
    const auto piece = process.memory.at(address);
    if (!piece) return {};
    ICON_TRY(const auto done, copy(process, *piece, pages_max));
    if (done > 0) return {};
  }
  return {};
}

Status PageServer::fill_next() {
  if (!has_recent_) {
    recent_ = store_.recent();
    has_recent_ = true;
  }
  // First what was written last: the process will want it first.
  while (recent_at_ < recent_.size()) {
    const auto& [pid, range] = recent_[recent_at_];
    for (auto& process : processes_) {
      if (process.pid != pid || process.ended) continue;
      const auto piece = process.memory.next(range.start);
      if (piece && piece->address < range.end)
        return fill_some(process, piece->address, (range.end - piece->address) / kPageBytes);
    }
    ++recent_at_;
  }
  for (auto& process : processes_) {
    if (process.ended || process.memory.empty()) continue;
    auto piece = process.memory.next(process.cursor);
    if (!piece) piece = process.memory.next(0);
    process.cursor = piece->address;
    return fill_some(process, piece->address, kFillPages);
  }
  return {};
}

}  // namespace icon::migration
