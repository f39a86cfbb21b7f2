// Blocking bulk work (tar, hashing) on a thread of its own, with a pipe to the loop in between. The
// loop never waits for a disk; the worker never touches the loop's objects.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <span>
#include <thread>
#include <type_traits>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "base/task.h"
#include "migration/archive.h"

namespace icon::migration {

// Runs `work` on a pool thread; the coroutine continues on its own executor.
template <class Work>
Task<std::invoke_result_t<Work>> run_on(boost::asio::thread_pool& pool, Work work) {
  using Value = std::invoke_result_t<Work>;
  // Named, here and by the callers: g++ 12 destroys a closure that is a temporary of co_await
  // twice.
  auto task = [work = std::move(work)]() mutable -> Task<Value> { co_return work(); };
  co_return co_await boost::asio::co_spawn(pool.get_executor(), std::move(task),
                                           boost::asio::use_awaitable);
}

// Between a worker and the loop.
struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};
Result<Pipe> make_pipe();
// A broken pipe ends a worker's work; it must not end the process.
void ignore_sigpipe_in_this_thread();

// A tar stream to be read piece by piece on the loop. The thread ends when the stream has been
// read to its end or the object is destroyed (the pipe breaks). Loop thread only.
class TarSource {
 public:
  // `parts` (and what their `only` points at) must outlive the object.
  static Result<std::unique_ptr<TarSource>> start(boost::asio::any_io_executor executor,
                                                  std::vector<TreePart> parts);
  ~TarSource();
  TarSource(const TarSource&) = delete;
  TarSource& operator=(const TarSource&) = delete;

  // The next bytes, valid until the next call; empty at the end. Errors: kIo.
  Task<Result<std::span<const char>>> next();
  std::uint64_t bytes() const { return bytes_; }
  // After the end: what was written.
  const ArchiveReport& report() const { return outcome_.value(); }

 private:
  explicit TarSource(boost::asio::posix::stream_descriptor reader) : reader_(std::move(reader)) {}
  boost::asio::posix::stream_descriptor reader_;
  std::thread thread_;
  Result<ArchiveReport> outcome_ = ArchiveReport{};
  std::vector<char> buffer_;
  std::uint64_t bytes_ = 0;
  bool ended_ = false;
};

// The other direction: bytes go in on the loop, files appear on disk. Loop thread only.
class TarSink {
 public:
  static Result<std::unique_ptr<TarSink>> start(boost::asio::any_io_executor executor,
                                                std::map<std::string, std::string> directories,
                                                ExtractLimits limits);
  ~TarSink();
  TarSink(const TarSink&) = delete;
  TarSink& operator=(const TarSink&) = delete;

  // Errors: kIo when the extraction has given up; finish() then tells why.
  Task<Status> write(std::span<const char> bytes);
  // Closes the stream and waits for the extraction. Errors: those of read_tar.
  Task<Result<ArchiveReport>> finish();

 private:
  TarSink(boost::asio::posix::stream_descriptor writer, boost::asio::posix::stream_descriptor done)
      : writer_(std::move(writer)), done_(std::move(done)) {}
  boost::asio::posix::stream_descriptor writer_;
  boost::asio::posix::stream_descriptor done_;  // readable end of file when the thread has ended
  std::thread thread_;
  Result<ArchiveReport> outcome_ = ArchiveReport{};
};

}  // namespace icon::migration
