// Blocking bulk work (tar, hashing) on a thread of its own, with a pipe to the loop in between. The
// loop never waits for a disk; the worker never touches the loop's objects.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/clock.h"
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

// The same, for `limit` at most: then the work goes on, and what comes of it is forgotten. `work`
// returns a Result or a Status and must not throw. Errors: those of `work`; kTimeout.
template <class Work>
Task<std::invoke_result_t<Work>> run_within(boost::asio::thread_pool& pool, Millis limit,
                                            std::string what, Work work) {
  struct State {
    State(const boost::asio::any_io_executor& loop, Millis limit) : done(loop, limit) {}
    boost::asio::steady_timer done;
    std::optional<std::invoke_result_t<Work>> value;
  };
  const auto loop = co_await boost::asio::this_coro::executor;
  const auto state = std::make_shared<State>(loop, limit);
  boost::asio::post(pool, [loop, given = state, work = std::move(work)]() mutable {
    // The state ends where it belongs, on the loop.
    boost::asio::post(loop, [state = std::move(given), value = work()]() mutable {
      state->value = std::move(value);
      state->done.cancel();
    });
  });
  co_await state->done.async_wait(kNoThrow);
  if (state->value) co_return std::move(*state->value);
  co_return fail(Code::kTimeout,
                 what + ": not done within " + std::to_string(limit.count()) + " ms");
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
