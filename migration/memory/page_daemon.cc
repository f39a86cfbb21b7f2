#include "migration/memory/page_daemon.h"

#include <poll.h>
#include <sys/wait.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <sstream>

#include "migration/worker.h"

namespace icon::migration {
namespace {

namespace asio = boost::asio;
constexpr std::size_t kLineBytesMax = 4096;

}  // namespace

Result<std::shared_ptr<PageDaemon>> PageDaemon::start(asio::any_io_executor executor,
                                                      const std::string& program,
                                                      const std::string& directory,
                                                      std::uint64_t bytes_max,
                                                      const std::string& cgroup) {
  ICON_TRY(Pipe input, make_pipe());
  ICON_TRY(Pipe output, make_pipe());
  ChildProcess::Options options;
  options.argv = {program, directory, std::to_string(bytes_max), cgroup};
  options.input_fd = input.read_end.get();
  options.output_fd = output.write_end.get();
  options.new_session = true;
  ICON_TRY(ChildProcess process, ChildProcess::start(std::move(options)));
  return std::shared_ptr<PageDaemon>(new PageDaemon(
      std::move(process), asio::posix::stream_descriptor(executor, input.write_end.release()),
      asio::posix::stream_descriptor(executor, output.read_end.release())));
}

Task<Status> PageDaemon::write(std::span<const char> bytes) {
  boost::system::error_code error;
  co_await asio::async_write(input_, asio::buffer(bytes.data(), bytes.size()),
                             asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return fail(Code::kIo, "the pages are no longer taken: " + error.message());
  co_return Status{};
}

Task<Result<std::string>> PageDaemon::hear(std::string word) {
  while (heard_.find('\n') == std::string::npos && heard_.size() < kLineBytesMax) {
    char chunk[256];
    boost::system::error_code error;
    const std::size_t count = co_await output_.async_read_some(
        asio::buffer(chunk), asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return fail(Code::kIo, "icon-pages ended: " + error.message());
    heard_.append(chunk, count);
  }
  const auto end = heard_.find('\n');
  const std::string line = heard_.substr(0, end);
  heard_.erase(0, end == std::string::npos ? end : end + 1);
  if (line.starts_with(word + " ")) co_return line.substr(word.size() + 1);
  constexpr std::string_view kError = "error ";
  co_return fail(Code::kIo, line.starts_with(kError) ? line.substr(kError.size())
                                                     : "icon-pages said '" + line + "'");
}

Task<Result<std::string>> PageDaemon::received() {
  ICON_CO_TRY(std::string text, co_await hear("received"));
  std::replace(text.begin(), text.end(), ' ', ':');
  co_return text;
}

bool PageDaemon::is_alive() const {
  pollfd ended{process_.pidfd(), POLLIN, 0};
  return poll(&ended, 1, 0) == 0;
}

Task<Status> PageDaemon::check() {
  constexpr std::string_view kCheck = "check\n";
  ICON_CO_CHECK(co_await write({kCheck.data(), kCheck.size()}));
  ICON_CO_CHECK(co_await hear("complete"));
  co_return Status{};
}

Task<Result<PageDaemon::Resident>> PageDaemon::let_live(std::shared_ptr<PageDaemon> daemon) {
  // Reaped here, or by init when we are gone first.
  const UniqueFd ended(dup(daemon->process_.pidfd()));
  (void)daemon->process_.release();
  const auto text = co_await daemon->hear("resident");
  siginfo_t info{};
  boost::system::error_code error;
  asio::posix::stream_descriptor end(daemon->output_.get_executor(), dup(ended.get()));
  co_await end.async_wait(asio::posix::descriptor_base::wait_read,
                          asio::redirect_error(asio::use_awaitable, error));
  (void)waitid(P_PIDFD, static_cast<id_t>(ended.get()), &info, WEXITED | WNOHANG);
  if (!text) co_return fail(text.error());
  Resident resident;
  std::istringstream(*text) >> resident.took_ms >> resident.pages >> resident.faults >>
      resident.zero_faults;
  co_return resident;
}

}  // namespace icon::migration
