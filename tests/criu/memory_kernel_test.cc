// migration/memory/ on the real kernel: a process that changes its memory all the while is copied
// exactly, and a process whose memory comes late never sees a wrong byte.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <random>

#include "migration/memory/memory_tracker.h"
#include "migration/memory/page_server.h"
#include "migration/memory/page_source.h"
#include "migration/move_stream.h"
#include "tests/criu/page_carrier.h"

namespace icon::migration {
namespace {

constexpr std::size_t kPages = 4096;  // of the region that is played with: 16 MiB

void must(const Status& status) { ASSERT_TRUE(status) << (status ? "" : status.error().message); }

std::uint8_t* map(std::size_t pages) {
  return static_cast<std::uint8_t*>(mmap(nullptr, pages * kPageBytes, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

// A child that runs `work` until it is killed, or to its exit status.
class Child {
 public:
  explicit Child(const std::function<int()>& work) : pid_(fork()) {
    if (pid_ == 0) _exit(work());
  }
  ~Child() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  int pid() const { return pid_; }
  void stop() const {
    kill(pid_, SIGSTOP);
    int status = 0;
    waitpid(pid_, &status, WUNTRACED);
  }
  // -1 while it runs.
  int exit_status() {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) != pid_) return -1;
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  }

 private:
  int pid_;
};

// Everything that a service may do to its memory, at random, as fast as it can.
int restless(int ready) {
  std::mt19937 random(static_cast<unsigned>(getpid()));
  const auto any = [&](std::size_t below) { return random() % below; };
  std::uint8_t* steady = map(kPages);
  std::uint8_t* wandering = map(256);
  std::memset(steady, 1, kPages * kPageBytes);
  if (write(ready, "r", 1) != 1) return 3;
  for (;;) {
    switch (any(40)) {
      case 0: {  // thrown away; some of it is read again, which is a zero page
        const std::size_t from = any(kPages - 16);
        madvise(steady + from * kPageBytes, 16 * kPageBytes, MADV_DONTNEED);
        if (volatile std::uint8_t seen = steady[from * kPageBytes]; seen != 0) return 1;
        break;
      }
      case 1: {  // somewhere else, perhaps where something was before
        std::uint8_t* target = map(256);
        munmap(target, 256 * kPageBytes);
        void* moved = mremap(wandering, 256 * kPageBytes, 256 * kPageBytes,
                             MREMAP_MAYMOVE | MREMAP_FIXED, target);
        if (moved == MAP_FAILED) return 2;
        wandering = static_cast<std::uint8_t*>(moved);
        break;
      }
      case 2: {  // new memory, and a hole in the old
        munmap(wandering, 256 * kPageBytes);
        wandering = map(256);
        break;
      }
      case 3: {  // may no longer be read
        mprotect(wandering, 64 * kPageBytes, PROT_NONE);
        mprotect(wandering, 64 * kPageBytes, PROT_READ | PROT_WRITE);
        break;
      }
      default:
        steady[any(kPages) * kPageBytes + any(kPageBytes)] = static_cast<std::uint8_t>(random());
        wandering[any(256) * kPageBytes + any(kPageBytes)] = static_cast<std::uint8_t>(random());
    }
  }
}

using Stream = std::vector<std::uint8_t>;

// `at_last` happens between the rounds and the freeze.
Task<void> copy_of(const Child& child, std::unique_ptr<PageSource>& source, Stream& stream,
                   std::function<void()> at_last) {
  const auto executor = co_await boost::asio::this_coro::executor;
  auto started = PageSource::start(
      executor, [&child]() -> Result<std::vector<int>> { return std::vector<int>{child.pid()}; });
  must(started ? Status{} : Status(fail(started.error())));
  source = std::move(*started);
  auto take = [&stream](std::span<const char> bytes) -> Task<Status> {
    stream.insert(stream.end(), bytes.begin(), bytes.end());
    co_return Status{};
  };
  boost::asio::co_spawn(executor, test::carry(*source, std::move(take)), boost::asio::detached);
  co_await test::until_converged(*source);
  at_last();
  child.stop();
  must(co_await source->finish());
}

void store(const Stream& stream, PageStore& pages) {
  for (std::size_t at = 0; at + kFrameHeaderBytes <= stream.size();) {
    std::array<std::uint8_t, kFrameHeaderBytes> raw{};
    std::copy_n(stream.begin() + static_cast<long>(at), raw.size(), raw.begin());
    const auto header = FrameHeader::decode(raw);
    ASSERT_TRUE(header);
    at += raw.size();
    if (header->kind == FrameHeader::Kind::kEnd) {
      EXPECT_EQ(at, stream.size());
      return;
    }
    const std::size_t size = header->count * kPageBytes;
    ASSERT_LE(at + size, stream.size());
    must(pages.put(header->pid, header->address, {stream.data() + at, size}));
    at += size;
  }
  ADD_FAILURE() << "the stream has no end";
}

void expect_exact_copy(const Child& child, const std::function<void()>& at_last,
                       std::size_t pages_min) {
  std::unique_ptr<PageSource> source;
  Stream stream;
  IoContext loop;
  boost::asio::co_spawn(loop, copy_of(child, source, stream, at_last),
                        [](std::exception_ptr error) {
                          if (error) std::rethrow_exception(error);
                        });
  loop.run();
  EXPECT_GE(source->report().rounds.size(), 2u);
  PageStore pages(1 << 30);
  store(stream, pages);
  const UniqueFd memory(
      open(("/proc/" + std::to_string(child.pid()) + "/mem").c_str(), O_RDONLY | O_CLOEXEC));
  const auto present = present_memory(child.pid());
  ASSERT_TRUE(present);
  std::size_t compared = 0;
  for (const auto& range : *present) {
    for (std::uint64_t at = range.start; at < range.end; at += kPageBytes, ++compared) {
      std::array<std::uint8_t, kPageBytes> truth{};
      ASSERT_EQ(pread(memory.get(), truth.data(), truth.size(), static_cast<off_t>(at)),
                static_cast<ssize_t>(truth.size()));
      const auto copy = pages.find(static_cast<std::uint32_t>(child.pid()), at, 1);
      ASSERT_EQ(copy.size(), kPageBytes) << "page " << std::hex << at << " is missing";
      ASSERT_EQ(std::memcmp(copy.data(), truth.data(), kPageBytes), 0)
          << "page " << std::hex << at << " is an old one";
    }
  }
  EXPECT_GT(compared, pages_min);
}

TEST(MemoryOnTheKernel, ARestlessProcessIsCopiedExactly) {
  must(MemoryTracker::available());
  for (int run = 0; run < 6; ++run) {
    int ready[2];
    ASSERT_EQ(pipe2(ready, O_CLOEXEC), 0);
    const Child child([&] { return restless(ready[1]); });
    char byte = 0;
    ASSERT_EQ(read(ready[0], &byte, 1), 1);
    for (const int fd : ready) close(fd);
    expect_exact_copy(
        child, [] {}, kPages / 2);
  }
}

// A move that follows one that was given up may find its tracker still there.
TEST(MemoryOnTheKernel, WhatAnotherTrackerHasSeenIsNotTakenAsSeen) {
  must(MemoryTracker::available());
  int ready[2];
  ASSERT_EQ(pipe2(ready, O_CLOEXEC), 0);
  const Child child([&] {
    std::memset(map(kPages), 1, kPages * kPageBytes);
    if (write(ready[1], "r", 1) != 1) return 1;
    return pause();
  });
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  for (const int fd : ready) close(fd);
  const auto bytes_of = [](const Result<std::vector<MemoryRange>>& ranges) {
    std::uint64_t bytes = 0;
    EXPECT_TRUE(ranges);
    if (ranges)
      for (const auto& range : *ranges) bytes += range.bytes();
    return bytes;
  };
  auto first = MemoryTracker::attach(child.pid());
  ASSERT_TRUE(first);
  EXPECT_GE(bytes_of(first->written()), kPages * kPageBytes);
  auto second = MemoryTracker::attach(child.pid());
  ASSERT_TRUE(second);
  EXPECT_GE(bytes_of(second->written()), kPages * kPageBytes);
  { const MemoryTracker gone = std::move(*first); }
  EXPECT_GE(bytes_of(second->written()), kPages * kPageBytes) << "tracked from now on";
  EXPECT_LT(bytes_of(second->written()), kPages * kPageBytes / 2);
}

// The loop has other moves: it does not wait until the tree's memory has been let go.
TEST(MemoryOnTheKernel, AStreamThatIsGivenUpKeepsNobodyWaiting) {
  struct Latch {
    std::mutex mutex;
    std::condition_variable changed;
    bool is_open = false;
    bool was_opened_in_time = false;
  };
  const auto latch = std::make_shared<Latch>();
  IoContext loop;
  auto source = PageSource::start(loop.get_executor(), [latch]() -> Result<std::vector<int>> {
    std::unique_lock lock(latch->mutex);
    latch->was_opened_in_time =
        latch->changed.wait_for(lock, std::chrono::seconds(10), [&] { return latch->is_open; });
    latch->changed.notify_all();
    return fail(Code::kCancelled, "enough");
  });
  ASSERT_TRUE(source);
  source->reset();
  std::unique_lock lock(latch->mutex);
  latch->is_open = true;
  latch->changed.notify_all();
  EXPECT_TRUE(latch->changed.wait_for(lock, std::chrono::seconds(20),
                                      [&] { return latch->was_opened_in_time; }));
}

// The destination has refused: whoever waits for the next mark is told.
TEST(MemoryOnTheKernel, AStreamThatNobodyReadsHasNoNextMark) {
  must(MemoryTracker::available());
  const Child child([] {
    std::memset(map(kPages), 1, kPages * kPageBytes);  // more than a pipe holds
    return pause();
  });
  IoContext loop;
  auto started = PageSource::start(loop.get_executor(), [&child]() -> Result<std::vector<int>> {
    return std::vector<int>{child.pid()};
  });
  ASSERT_TRUE(started);
  PageSource& source = **started;
  bool has_failed = false;
  auto wait = [&]() -> Task<void> {
    const auto mark = co_await source.next_mark();
    has_failed = !mark;
  };
  boost::asio::co_spawn(loop, wait(), boost::asio::detached);
  loop.poll();
  source.stop_reading();
  loop.run_for(std::chrono::seconds(20));
  EXPECT_TRUE(has_failed);
}

TEST(MemoryOnTheKernel, AProcessThatBecomesAnotherProgramIsCopiedExactly) {
  must(MemoryTracker::available());
  int go[2], gone[2];
  ASSERT_EQ(pipe2(go, O_CLOEXEC), 0);
  ASSERT_EQ(pipe2(gone, O_CLOEXEC), 0);
  const Child child([&] {
    std::memset(map(kPages), 1, kPages * kPageBytes);
    char byte = 0;
    if (read(go[0], &byte, 1) != 1) return 1;
    execl("/bin/sleep", "sleep", "60", nullptr);
    return 2;
  });
  close(gone[1]);
  expect_exact_copy(
      child,
      [&] {
        char byte = 0;
        EXPECT_EQ(write(go[1], "x", 1), 1);
        EXPECT_EQ(read(gone[0], &byte, 1), 0) << "its end goes with the old program";
      },
      0);
  for (const int fd : {go[0], go[1], gone[0]}) close(fd);
}

// --- The other side.

constexpr std::uint8_t content(std::size_t page) {
  return static_cast<std::uint8_t>(page % 251 + 1);
}

// The region's pages [from, to) read as `from` on in the checkpoint, or as zeroes.
bool reads_as(const std::uint8_t* region, std::size_t pages, std::size_t origin,
              bool zero = false) {
  for (std::size_t i = 0; i < pages; ++i)
    for (const std::size_t at : {std::size_t{0}, kPageBytes - 1})
      if (region[i * kPageBytes + at] != (zero ? 0 : content(origin + i))) return false;
  return true;
}

// A process that waits for its memory and rearranges it meanwhile. It says on `out` where its
// region is, and which descriptor stands for it.
struct Region {
  std::uint64_t address;
  int userfault;
};

int late_memory(int out, int in) {
  std::uint8_t* region = map(kPages);
  Region said{reinterpret_cast<std::uint64_t>(region),
              static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK))};
  uffdio_api api{};
  api.api = UFFD_API;
  api.features = UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE |
                 UFFD_FEATURE_EVENT_UNMAP;
  uffdio_register request{};
  request.range = {said.address, kPages * kPageBytes};
  request.mode = UFFDIO_REGISTER_MODE_MISSING;
  if (ioctl(said.userfault, UFFDIO_API, &api) != 0) return 10;
  if (ioctl(said.userfault, UFFDIO_REGISTER, &request) != 0) return 11;
  char go = 0;
  if (write(out, &said, sizeof said) != sizeof said || read(in, &go, 1) != 1) return 12;
  close(said.userfault);
  const auto at = [&](std::size_t page) { return region + page * kPageBytes; };
  if (!reads_as(at(1000), 3, 1000)) return 20;
  if (madvise(at(2000), 100 * kPageBytes, MADV_DONTNEED) != 0) return 21;
  if (!reads_as(at(2000), 100, 0, /*zero=*/true)) return 22;
  auto* moved = static_cast<std::uint8_t*>(mremap(at(3000), 200 * kPageBytes, 200 * kPageBytes,
                                                  MREMAP_MAYMOVE | MREMAP_FIXED, map(200)));
  if (moved == MAP_FAILED || !reads_as(moved, 200, 3000)) return 23;
  if (munmap(at(3500), 10 * kPageBytes) != 0) return 24;
  const int child = fork();
  if (child == 0) _exit(reads_as(at(0), 500, 0) && reads_as(moved, 200, 3000) ? 0 : 1);
  int status = 0;
  if (!reads_as(at(0), 2000, 0) || !reads_as(at(2100), 900, 2100)) return 25;
  if (!reads_as(at(3510), kPages - 3510 - 50, 3510)) return 26;
  if (!reads_as(at(kPages - 50), 50, 0, /*zero=*/true)) return 27;  // not in the checkpoint
  if (waitpid(child, &status, 0) != child || status != 0) return 28;
  return 0;
}

TEST(MemoryOnTheKernel, MemoryThatComesLateIsRight) {
  for (const bool fill : {false, true}) {
    int up[2];
    int down[2];
    ASSERT_EQ(pipe2(up, O_CLOEXEC), 0);
    ASSERT_EQ(pipe2(down, O_CLOEXEC), 0);
    Child child([&] { return late_memory(up[1], down[0]); });
    Region region{};
    ASSERT_EQ(read(up[0], &region, sizeof region), static_cast<ssize_t>(sizeof region));
    const UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, child.pid(), 0)));
    UniqueFd userfault(
        static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), region.userfault, 0)));
    ASSERT_TRUE(userfault);
    PageStore store(1 << 30);
    std::vector<std::uint8_t> page(kPageBytes);
    const std::size_t kept = kPages - 50;
    for (std::size_t i = 0; i < kept; ++i) {
      std::fill(page.begin(), page.end(), content(i));
      must(store.put(1, region.address + i * kPageBytes, page));
    }
    PageServer server(store);
    server.add(1, std::move(userfault), {{region.address, region.address + kept * kPageBytes}});
    ASSERT_EQ(write(down[1], "g", 1), 1);
    int status = -1;
    while ((status = child.exit_status()) < 0) {
      const auto turned = server.turn(-1, fill, 5);
      ASSERT_TRUE(turned) << turned.error().message;
    }
    EXPECT_EQ(status, 0) << "fill " << fill;
    EXPECT_GT(server.statistics().faults, 0u);
    for (const int fd : {up[0], up[1], down[0], down[1]}) close(fd);
  }
}

}  // namespace
}  // namespace icon::migration
