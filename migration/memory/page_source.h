// The memory of a running process tree as the first part of a move's stream, in rounds: all of it,
// then what changed meanwhile, until little is left; then, with the tree frozen, the rest. A round
// has ended when the destination says that it has it: what still lies in queues would be ahead of
// the last pages, for which the service stands still. On a thread of its own with a pipe in
// between, like the archives (migration/worker.h). Loop thread only.
#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/result.h"
#include "base/task.h"
#include "migration/memory/memory_tracker.h"

namespace icon::migration {

class PageSource {
 public:
  // The tree's process ids as this host sees them. Called on the thread, which may outlast the
  // object by one call.
  using Processes = std::function<Result<std::vector<int>>()>;

  static Result<std::unique_ptr<PageSource>> start(boost::asio::any_io_executor executor,
                                                   Processes processes);
  ~PageSource();
  PageSource(const PageSource&) = delete;
  PageSource& operator=(const PageSource&) = delete;

  // The next bytes, valid until the next call; empty at the end. Errors: kIo.
  Task<Result<std::span<const char>>> next();
  // Nobody wants more: a next() or next_mark() that waits fails, as do later ones.
  void stop_reading();
  // The number of the mark that ends a round in the stream, from 1 on; 0: another round would not
  // make the rest smaller. Errors: kIo; next() says why.
  Task<Result<std::uint32_t>> next_mark();
  // All before that mark has arrived: the next round may begin.
  void acknowledge(std::uint32_t mark);
  // The tree is frozen from now on. Returns when it is known what is left: a checkpointer may look
  // at it. The stream then brings the rest and ends.
  Task<Status> finish();
  // After the end of the stream: what still tracks the tree. To let go of it takes 30 ms per GB
  // while the tree lives, and is no work for the loop.
  std::vector<MemoryTracker> take_tracking();

  struct Round {
    std::uint64_t bytes = 0;
    Micros took{0};  // until it had arrived; the last: until it was sent
  };
  struct Report {
    std::vector<Round> rounds;  // the last one with the tree frozen
    Micros last_scan{0};        // until it was known what was left, the tree frozen
    std::uint64_t bytes = 0;    // of the page frames, kEnd included
    std::string digest;         // BLAKE2b-256 of them, hexadecimal
  };
  // After the end of the stream; before it, when next_mark() has returned 0, its `rounds`.
  const Report& report() const { return shared_->report; }

 private:
  class Work;
  PageSource(boost::asio::posix::stream_descriptor reader,
             boost::asio::posix::stream_descriptor news)
      : reader_(std::move(reader)), news_(std::move(news)) {}
  Task<Result<char>> hear();

  // What the thread and this object share. It outlasts both: the thread may still let go of the
  // tree's memory, 30 ms per GB, when nobody waits for it any more.
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    std::uint32_t acknowledged = 0;       // under mutex
    bool is_frozen = false;               // under mutex
    bool is_cancelled = false;            // under mutex
    Report report;                        // the thread's until the pipe's end
    std::vector<MemoryTracker> tracking;  // the same
    Status outcome;                       // the same
  };
  boost::asio::posix::stream_descriptor reader_;
  boost::asio::posix::stream_descriptor news_;
  std::thread thread_;
  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  std::uint32_t marks_ = 0;
  std::vector<char> buffer_;
  bool ended_ = false;
};

}  // namespace icon::migration
