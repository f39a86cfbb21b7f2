// The memory of a running process tree as a page stream, in rounds: all of it, then what changed
// meanwhile, until little is left; then, with the tree frozen, the rest. On a thread of its own
// with a pipe in between, like the archives (migration/worker.h). Loop thread only.
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

namespace icon::migration {

class PageSource {
 public:
  // The tree's process ids as this host sees them. Called on the thread.
  using Processes = std::function<Result<std::vector<int>>()>;

  static Result<std::unique_ptr<PageSource>> start(boost::asio::any_io_executor executor,
                                                   Processes processes);
  ~PageSource();
  PageSource(const PageSource&) = delete;
  PageSource& operator=(const PageSource&) = delete;

  // The next bytes, valid until the next call; empty at the end. Errors: kIo.
  Task<Result<std::span<const char>>> next();
  // Returns when another round would not make the rest smaller. Errors: what ended the thread.
  Task<Status> until_converged();
  // The tree is frozen from now on. Returns when it is known what is left, and the tree is no
  // longer tracked: a checkpointer may look at it. The stream then brings the rest and ends.
  Task<Status> finish();

  struct Round {
    std::uint64_t bytes = 0;
    Micros took{0};
  };
  struct Report {
    std::vector<Round> rounds;  // the last one with the tree frozen
    std::uint64_t bytes = 0;    // of the whole stream
    std::string digest;         // BLAKE2b-256 of it, hexadecimal
  };
  // After the end of the stream.
  const Report& report() const { return report_; }

 private:
  class Work;
  PageSource(boost::asio::posix::stream_descriptor reader,
             boost::asio::posix::stream_descriptor news)
      : reader_(std::move(reader)), news_(std::move(news)) {}
  Task<Status> wait_for(char what);

  boost::asio::posix::stream_descriptor reader_;
  boost::asio::posix::stream_descriptor news_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_frozen_ = false;     // under mutex_
  bool is_cancelled_ = false;  // under mutex_
  Report report_;              // the thread's until the pipe's end
  Status outcome_;             // the same
  std::vector<char> buffer_;
  bool ended_ = false;
};

}  // namespace icon::migration
