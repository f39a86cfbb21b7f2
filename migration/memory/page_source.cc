#include "migration/memory/page_source.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <map>
#include <optional>

#include "migration/digest.h"
#include "migration/memory/memory_tracker.h"
#include "migration/move_stream.h"
#include "migration/worker.h"

namespace icon::migration {
namespace {

namespace asio = boost::asio;

constexpr std::uint64_t kLittleBytes = 2 << 20;  // what may be left for the frozen round
constexpr std::uint32_t kRoundsMax = 12;
constexpr std::size_t kReadBytes = 256 << 10;
constexpr char kMarked = 'm';
constexpr char kConverged = 'c';
constexpr char kScanned = 's';

Status write_whole(int fd, const void* data, std::size_t size) {
  const auto* at = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t count = write(fd, at, size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("write the page stream");
    at += count;
    size -= static_cast<std::size_t>(count);
  }
  return {};
}

}  // namespace

// What the thread does.
class PageSource::Work {
 public:
  Work(Shared& shared, Processes processes, UniqueFd stream, UniqueFd news)
      : shared_(shared),
        processes_(std::move(processes)),
        stream_(std::move(stream)),
        news_(std::move(news)),
        buffer_(kFramePagesMax * kPageBytes) {}

  Status run() {
    std::uint64_t before = UINT64_MAX;
    for (std::uint32_t round = 1; round <= kRoundsMax; ++round) {
      const auto start = std::chrono::steady_clock::now();
      ICON_TRY(const std::uint64_t bytes, do_round(/*frozen=*/false));
      FrameHeader mark;
      mark.kind = FrameHeader::Kind::kMark;
      mark.count = round;
      const auto raw = mark.encode();
      ICON_CHECK(write_whole(stream_.get(), raw.data(), raw.size()));
      tell(kMarked);
      ICON_CHECK(wait_until([&] { return shared_.acknowledged >= round || shared_.is_frozen; }));
      shared_.report.rounds.push_back({bytes, since(start)});
      if (bytes <= kLittleBytes || bytes > before / 10 * 9) break;
      before = bytes;
    }
    tell(kConverged);
    ICON_CHECK(wait_until([&] { return shared_.is_frozen; }));
    const auto start = std::chrono::steady_clock::now();
    ICON_TRY(const std::uint64_t rest, do_round(/*frozen=*/true));
    shared_.report.rounds.push_back({rest, since(start)});
    FrameHeader end;
    end.kind = FrameHeader::Kind::kEnd;
    const auto raw = end.encode();
    ICON_CHECK(send(raw.data(), raw.size()));
    shared_.report.digest = digest_.hex();
    // Not now: whoever dumps the tree would wait for it.
    for (auto& [pid, process] : tracked_)
      if (process.tracker) shared_.tracking.push_back(std::move(*process.tracker));
    return {};
  }

 private:
  struct Tracked {
    std::uint32_t inner_pid = 0;
    std::optional<MemoryTracker> tracker;  // none: everything counts as written, each time
    UniqueFd memory;                       // /proc/PID/mem
  };
  struct Written {
    const Tracked* process;
    int pid;
    std::vector<MemoryRange> ranges;
  };

  template <class Condition>
  Status wait_until(Condition condition) {
    std::unique_lock lock(shared_.mutex);
    shared_.changed.wait(lock, [&] { return shared_.is_cancelled || condition(); });
    if (shared_.is_cancelled) return fail(Code::kCancelled, "the page stream was cancelled");
    return {};
  }
  static Micros since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration_cast<Micros>(std::chrono::steady_clock::now() - start);
  }
  void tell(char what) { (void)!write(news_.get(), &what, 1); }

  Result<std::uint64_t> do_round(bool frozen) {
    const auto start = std::chrono::steady_clock::now();
    ICON_TRY(const auto written, scan(frozen));
    if (frozen) {
      shared_.report.last_scan = since(start);
      tell(kScanned);
    }
    std::uint64_t bytes = 0;
    for (const auto& [process, pid, ranges] : written) {
      for (const auto& range : ranges) {
        bytes += range.bytes();
        ICON_CHECK(send_range(*process, pid, range, frozen));
      }
    }
    return bytes;
  }

  Result<std::vector<Written>> scan(bool frozen) {
    ICON_TRY(const auto pids, processes_());
    std::erase_if(tracked_, [&](const auto& entry) {
      return std::find(pids.begin(), pids.end(), entry.first) == pids.end();
    });
    std::vector<Written> written;
    for (const int pid : pids) {
      auto ranges = scan_process(pid, frozen);
      // Another program since the last look, or another process of that number: from the beginning.
      if (!ranges && ranges.error().code == Code::kNotFound && tracked_.erase(pid) > 0)
        ranges = scan_process(pid, frozen);
      // It ended, or is about to: the next round looks again.
      if (!ranges && !frozen && (ranges.error().code == Code::kNotFound || !tracked_.contains(pid)))
        continue;
      if (!ranges) return fail(ranges.error());
      written.push_back({&tracked_.at(pid), pid, std::move(*ranges)});
    }
    return written;
  }

  Result<std::vector<MemoryRange>> scan_process(int pid, bool frozen) {
    auto found = tracked_.find(pid);
    if (found == tracked_.end()) {
      ICON_TRY(auto tracked, track(pid, frozen));
      found = tracked_.emplace(pid, std::move(tracked)).first;
    }
    auto& tracker = found->second.tracker;
    return tracker ? tracker->written() : present_memory(pid);
  }

  Result<Tracked> track(int pid, bool frozen) {
    Tracked tracked;
    ICON_TRY(tracked.inner_pid, inner_pid(pid));
    const std::string path = "/proc/" + std::to_string(pid) + "/mem";
    tracked.memory = UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!tracked.memory) return fail_errno("open " + path);
    if (frozen) return tracked;
    auto tracker = MemoryTracker::attach(pid);
    if (tracker) tracked.tracker = std::move(*tracker);
    return tracked;
  }

  Status send_range(const Tracked& process, int pid, const MemoryRange& range, bool frozen) {
    for (std::uint64_t at = range.start; at < range.end;) {
      const std::size_t size = std::min<std::uint64_t>(buffer_.size(), range.end - at);
      std::size_t done = read_memory(process, pid, at, size);
      done -= done % kPageBytes;
      if (done == 0) {
        // A frozen process unmaps nothing. This page was unmapped since the scan; those after it,
        // which are marked as seen, may not be.
        if (frozen) return fail(Code::kIo, "read the memory of process " + std::to_string(pid));
        at += kPageBytes;
        continue;
      }
      FrameHeader header;
      header.pid = process.inner_pid;
      header.address = at;
      header.count = static_cast<std::uint32_t>(done / kPageBytes);
      const auto raw = header.encode();
      ICON_CHECK(send(raw.data(), raw.size()));
      ICON_CHECK(send(buffer_.data(), done));
      at += done;
    }
    return {};
  }

  std::size_t read_memory(const Tracked& process, int pid, std::uint64_t address,
                          std::size_t size) {
    const iovec local{buffer_.data(), size};
    const iovec remote{reinterpret_cast<void*>(address), size};
    ssize_t count = process_vm_readv(pid, &local, 1, &remote, 1, 0);
    if (count == static_cast<ssize_t>(size)) return size;
    // Memory that the process itself may not read (a guard that was written before) only opens
    // here.
    std::size_t done = count > 0 ? static_cast<std::size_t>(count) : 0;
    while (done < size) {
      count = pread(process.memory.get(), buffer_.data() + done, size - done,
                    static_cast<off_t>(address + done));
      if (count <= 0) break;
      done += static_cast<std::size_t>(count);
    }
    return done;
  }

  Status send(const void* data, std::size_t size) {
    digest_.add(data, size);
    shared_.report.bytes += size;
    return write_whole(stream_.get(), data, size);
  }

  Shared& shared_;
  Processes processes_;
  UniqueFd stream_;
  UniqueFd news_;
  std::vector<std::uint8_t> buffer_;
  std::map<int, Tracked> tracked_;
  Digest digest_;
};

Result<std::unique_ptr<PageSource>> PageSource::start(asio::any_io_executor executor,
                                                      Processes processes) {
  ICON_TRY(Pipe stream, make_pipe());
  ICON_TRY(Pipe news, make_pipe());
  std::unique_ptr<PageSource> source(
      new PageSource(asio::posix::stream_descriptor(executor, stream.read_end.release()),
                     asio::posix::stream_descriptor(executor, news.read_end.release())));
  source->buffer_.resize(kReadBytes);
  source->thread_ = std::thread([shared = source->shared_, processes = std::move(processes),
                                 out = std::move(stream.write_end),
                                 news_out = std::move(news.write_end)]() mutable {
    ignore_sigpipe_in_this_thread();
    Work work(*shared, std::move(processes), std::move(out), std::move(news_out));
    shared->outcome = work.run();
  });  // the work's end closes the pipes, which publishes outcome_
  return source;
}

std::vector<MemoryTracker> PageSource::take_tracking() {
  return ended_ ? std::move(shared_->tracking) : std::vector<MemoryTracker>();
}

PageSource::~PageSource() {
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->is_cancelled = true;
  }
  shared_->changed.notify_all();
  boost::system::error_code ignored;
  reader_.close(ignored);
  if (thread_.joinable()) thread_.detach();
}

Task<Result<std::span<const char>>> PageSource::next() {
  if (ended_) co_return std::span<const char>();
  boost::system::error_code error;
  const std::size_t count = co_await reader_.async_read_some(
      asio::buffer(buffer_), asio::redirect_error(asio::use_awaitable, error));
  if (!error) co_return std::span<const char>(buffer_.data(), count);
  if (error != asio::error::eof) co_return fail(Code::kIo, "read page pipe: " + error.message());
  ended_ = true;
  thread_.join();
  if (!shared_->outcome) co_return fail(shared_->outcome.error());
  co_return std::span<const char>();
}

void PageSource::stop_reading() {
  boost::system::error_code ignored;
  reader_.close(ignored);  // the thread's next write fails
}

Task<Result<char>> PageSource::hear() {
  char heard = 0;
  boost::system::error_code error;
  co_await news_.async_read_some(asio::buffer(&heard, 1),
                                 asio::redirect_error(asio::use_awaitable, error));
  if (!error) co_return heard;
  // The reason comes out of next(), once what was written before has been read.
  co_return fail(Code::kIo, "the page stream broke off");
}

Task<Result<std::uint32_t>> PageSource::next_mark() {
  ICON_CO_TRY(const char heard, co_await hear());
  co_return heard == kMarked ? ++marks_ : 0;
}

void PageSource::acknowledge(std::uint32_t mark) {
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->acknowledged = mark;
  }
  shared_->changed.notify_all();
}

Task<Status> PageSource::finish() {
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->is_frozen = true;
  }
  shared_->changed.notify_all();
  ICON_CO_TRY(const char heard, co_await hear());
  if (heard != kScanned) co_return fail(Code::kInternal, "the page stream said something else");
  co_return Status{};
}

}  // namespace icon::migration
