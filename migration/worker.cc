#include "migration/worker.h"

#include <fcntl.h>
#include <signal.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>

namespace icon::migration {
namespace {

namespace asio = boost::asio;

constexpr int kPipeBytes = 1 << 20;
constexpr std::size_t kReadBytes = 256 << 10;

}  // namespace

Result<Pipe> make_pipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return fail_errno("pipe");
  fcntl(fds[1], F_SETPIPE_SZ, kPipeBytes);  // best effort: a smaller pipe is only slower
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

void ignore_sigpipe_in_this_thread() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

Result<std::unique_ptr<TarSource>> TarSource::start(asio::any_io_executor executor,
                                                    std::vector<TreePart> parts) {
  ICON_TRY(Pipe pipe, make_pipe());
  std::unique_ptr<TarSource> source(
      new TarSource(asio::posix::stream_descriptor(executor, pipe.read_end.release())));
  source->buffer_.resize(kReadBytes);
  source->thread_ = std::thread(
      [self = source.get(), parts = std::move(parts), out = std::move(pipe.write_end)]() mutable {
        ignore_sigpipe_in_this_thread();
        self->outcome_ = write_tar(out.get(), parts, nullptr);
        out.reset();  // the end of file publishes outcome_
      });
  return source;
}

TarSource::~TarSource() {
  boost::system::error_code ignored;
  reader_.close(ignored);
  if (thread_.joinable()) thread_.join();
}

Task<Result<std::span<const char>>> TarSource::next() {
  if (ended_) co_return std::span<const char>();
  boost::system::error_code error;
  const std::size_t count = co_await reader_.async_read_some(
      asio::buffer(buffer_), asio::redirect_error(asio::use_awaitable, error));
  if (!error) {
    bytes_ += count;
    co_return std::span<const char>(buffer_.data(), count);
  }
  if (error != asio::error::eof) co_return fail(Code::kIo, "read archive pipe: " + error.message());
  ended_ = true;
  thread_.join();
  if (!outcome_) co_return fail(outcome_.error());
  co_return std::span<const char>();
}

Result<std::unique_ptr<TarSink>> TarSink::start(asio::any_io_executor executor,
                                                std::map<std::string, std::string> directories,
                                                ExtractLimits limits) {
  ICON_TRY(Pipe pipe, make_pipe());
  ICON_TRY(Pipe done, make_pipe());
  std::unique_ptr<TarSink> sink(
      new TarSink(asio::posix::stream_descriptor(executor, pipe.write_end.release()),
                  asio::posix::stream_descriptor(executor, done.read_end.release())));
  sink->thread_ =
      std::thread([self = sink.get(), directories = std::move(directories), limits,
                   in = std::move(pipe.read_end), ended = std::move(done.write_end)]() mutable {
        ignore_sigpipe_in_this_thread();
        self->outcome_ = read_tar(in.get(), directories, limits);
        in.reset();
        ended.reset();
      });
  return sink;
}

TarSink::~TarSink() {
  boost::system::error_code ignored;
  writer_.close(ignored);
  if (thread_.joinable()) thread_.join();
}

Task<Status> TarSink::write(std::span<const char> bytes) {
  boost::system::error_code error;
  co_await asio::async_write(writer_, asio::buffer(bytes.data(), bytes.size()),
                             asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return fail(Code::kIo, "the archive is no longer read: " + error.message());
  co_return Status{};
}

Task<Result<ArchiveReport>> TarSink::finish() {
  boost::system::error_code error;
  writer_.close(error);
  char byte = 0;
  co_await done_.async_read_some(asio::buffer(&byte, 1),
                                 asio::redirect_error(asio::use_awaitable, error));
  thread_.join();
  co_return std::move(outcome_);
}

}  // namespace icon::migration
