// The restore: a process that waits in its cgroups and its network namespace for the images, CRIU
// once they are there, and a whole tree that waits for the commit.
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <charconv>
#include <memory>
#include <optional>

#include "base/subprocess.h"
#include "migration/criu_checkpointer.h"
#include "migration/criu_parts.h"
#include "migration/worker.h"

namespace icon::migration {
namespace {

namespace asio = boost::asio;
using boost::asio::experimental::awaitable_operators::operator||;
using LocalSocket = asio::local::stream_protocol::socket;
using LocalAcceptor = asio::local::stream_protocol::acceptor;
using criu::log_errors;

constexpr Millis kReleaseTimeout{10'000};
constexpr Millis kReapTimeout{5'000};
constexpr const char* kRestoreLog = "restore.log";
constexpr const char* kGivenUp = "the restore was given up";

// Its log may say nothing: whoever is killed writes no last line.
std::string ended_with(std::optional<int> status) {
  return status ? "ended with status " + std::to_string(*status) + ": " : "did not end: ";
}

class CriuHeldRestore final : public HeldRestore {
 public:
  CriuHeldRestore(ChildProcess criu, LocalSocket gate, int init_pid, std::string log_path)
      : criu_(std::move(criu)),
        gate_(std::move(gate)),
        init_pid_(init_pid),
        init_(static_cast<int>(syscall(SYS_pidfd_open, init_pid, 0))),
        log_path_(std::move(log_path)) {}
  ~CriuHeldRestore() override {
    if (!released_) kill_tree();
  }

  int init_pid() const override { return init_pid_; }

  Task<Status> release() override {
    boost::system::error_code error;
    co_await asio::async_write(gate_, asio::buffer("go\n", 3),
                               asio::redirect_error(asio::use_awaitable, error));
    if (error) {
      kill_tree();
      co_return fail(Code::kIo, "the restored process is gone: " + log_errors(log_path_));
    }
    const bool ended = co_await wait_for_criu(kReleaseTimeout);
    const auto status = ended ? criu_.wait(Millis(0)) : std::nullopt;
    if (status != 0) {
      kill_tree();
      co_return fail(Code::kIo, "criu restore " + ended_with(status) + log_errors(log_path_));
    }
    released_ = true;
    co_return Status{};
  }

  Task<void> abort() override {
    boost::system::error_code error;
    gate_.close(error);  // the helper fails, CRIU kills what it restored
    co_await wait_for_criu(kReapTimeout);
    kill_tree();
  }

 private:
  Task<bool> wait_for_criu(Millis limit) {
    const auto executor = co_await asio::this_coro::executor;
    asio::posix::stream_descriptor ended(executor, dup(criu_.pidfd()));
    asio::steady_timer timer(executor, limit);
    const auto which =
        co_await (ended.async_wait(asio::posix::descriptor_base::wait_read, asio::use_awaitable) ||
                  timer.async_wait(asio::use_awaitable));
    co_return which.index() == 0;
  }

  // The first process of a PID namespace takes all others with it. By its descriptor: when CRIU is
  // gone somebody else may have reaped it, and its number be another's.
  void kill_tree() {
    if (init_) syscall(SYS_pidfd_send_signal, init_.get(), SIGKILL, nullptr, 0);
    init_.reset();
    criu_.stop();
    criu::clear_after_the_dead();
    released_ = true;
  }

  ChildProcess criu_;
  LocalSocket gate_;
  int init_pid_;
  UniqueFd init_;
  std::string log_path_;
  bool released_ = false;
};

// What the helper says when CRIU has reached its post-restore point: "held PID\n".
Task<Result<int>> read_held_line(LocalSocket& gate) {
  std::string line;
  while (line.find('\n') == std::string::npos && line.size() < 64) {
    char chunk[64];
    boost::system::error_code error;
    const std::size_t count = co_await gate.async_read_some(
        asio::buffer(chunk), asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return fail(Code::kIo, "the hold helper said nothing: " + error.message());
    line.append(chunk, count);
  }
  int pid = 0;
  constexpr std::string_view kPrefix = "held ";
  if (!line.starts_with(kPrefix) ||
      std::from_chars(line.data() + kPrefix.size(), line.data() + line.size(), pid).ec !=
          std::errc() ||
      pid <= 1)
    co_return fail(Code::kInternal, "the hold helper said '" + line + "'");
  co_return pid;
}

std::vector<std::string> restore_arguments(const CriuOptions& options,
                                           const RestoreRequest& request) {
  std::vector<std::string> arguments{options.hold_helper_path,
                                     "exec",
                                     options.criu_path,
                                     "restore",
                                     "-D",
                                     request.image_dir,
                                     "-W",
                                     request.work_dir,
                                     "-o",
                                     kRestoreLog,
                                     "--root",
                                     request.root,
                                     "--restore-detached"};
  for (const auto& argument : criu::common_arguments(request.work_dir))
    arguments.push_back(argument);
  for (const auto& mount : request.external_mounts)
    criu::append(arguments, {"--external", "mnt[" + mount.name + "]:" + mount.host_path});
  if (request.memory_apart) arguments.emplace_back("--lazy-pages");
  if (request.close_connections) arguments.emplace_back("--tcp-close");
  criu::append(arguments, {"--action-script", options.hold_helper_path});
  if (!options.launcher_path.empty()) arguments.insert(arguments.begin(), options.launcher_path);
  return arguments;
}

// Starts the program that waits; `go`: where a byte makes it CRIU. Its way into a cgroup waits for
// the kernel's RCU, 11 ms and more.
Result<ChildProcess> start_waiting(const CriuOptions& options, const RestoreRequest& request,
                                   UniqueFd& go) {
  ICON_TRY(const auto netns, criu::open_netns(request.netns_path));
  // Opened here: the child may only make async-signal-safe calls.
  auto cgroups = std::make_shared<std::vector<UniqueFd>>();
  for (const auto& path : request.cgroup_procs_files) {
    UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd) return fail_errno("cgroup " + path);
    cgroups->push_back(std::move(fd));
  }
  ICON_TRY(Pipe pipe, make_pipe());
  ChildProcess::Options child;
  child.argv = restore_arguments(options, request);
  child.input_fd = pipe.read_end.get();
  child.grace = Millis(0);  // CRIU blocks SIGTERM
  child.extra_environment = {"ICON_HOLD_SOCKET=" + request.work_dir + "/hold.sock"};
  child.before_exec = [cgroups, enter = criu::in_netns(netns)] {
    if (enter() != 0) return 1;
    for (const auto& fd : *cgroups)
      if (write(fd.get(), "0", 1) < 0) return 1;
    return 0;
  };
  go = std::move(pipe.write_end);
  return ChildProcess::start(std::move(child));
}

class CriuPreparedRestore final : public PreparedRestore {
 public:
  CriuPreparedRestore(RestoreRequest request, ChildProcess process, UniqueFd go,
                      LocalAcceptor acceptor)
      : request_(std::move(request)),
        process_(std::move(process)),
        go_(std::move(go)),
        acceptor_(std::move(acceptor)),
        limit_(acceptor_.get_executor(), SteadyTime::max()) {}

  ~CriuPreparedRestore() override {
    if (is_held_) return;
    process_.stop();
    criu::clear_after_the_dead();
  }

  void give_up() override {
    is_given_up_ = true;
    limit_.cancel();
  }

  Task<Result<std::unique_ptr<HeldRestore>>> restore() override {
    const std::string log_path = request_.work_dir + "/" + kRestoreLog;
    if (is_given_up_) co_return fail(Code::kCancelled, kGivenUp);
    if (write(go_.get(), "g", 1) != 1) {
      const auto status = process_.wait(kReapTimeout);
      co_return fail(Code::kIo, "what was to become criu restore has ended with status " +
                                    std::to_string(status.value_or(-1)));
    }
    go_.reset();
    // Held, failed or too slow: whichever comes first.
    LocalSocket gate(acceptor_.get_executor());
    asio::posix::stream_descriptor ended(acceptor_.get_executor(), dup(process_.pidfd()));
    limit_.expires_after(request_.timeout);
    const auto which =
        co_await (acceptor_.async_accept(gate, asio::use_awaitable) ||
                  ended.async_wait(asio::posix::descriptor_base::wait_read, asio::use_awaitable) ||
                  limit_.async_wait(kNoThrow));  // or give_up()
    unlink((request_.work_dir + "/hold.sock").c_str());
    if (which.index() == 1)
      co_return fail(Code::kIo, "criu restore " + ended_with(process_.wait(kReapTimeout)) +
                                    log_errors(log_path));
    if (which.index() == 2) {
      process_.stop();
      if (is_given_up_) co_return fail(Code::kCancelled, kGivenUp);
      co_return fail(Code::kTimeout, "criu restore did not finish within " +
                                         std::to_string(request_.timeout.count()) + " ms");
    }
    const auto pid = co_await read_held_line(gate);
    if (!pid) {
      process_.stop();
      co_return fail(pid.error());
    }
    is_held_ = true;
    co_return std::make_unique<CriuHeldRestore>(std::move(process_), std::move(gate), *pid,
                                                log_path);
  }

 private:
  RestoreRequest request_;
  ChildProcess process_;
  UniqueFd go_;
  LocalAcceptor acceptor_;
  asio::steady_timer limit_;
  bool is_given_up_ = false;
  bool is_held_ = false;  // the process is the held restore's
};

}  // namespace

Task<Result<std::unique_ptr<PreparedRestore>>> CriuCheckpointer::prepare_restore(
    RestoreRequest request) {
  const std::string socket_path = request.work_dir + "/hold.sock";
  boost::system::error_code error;
  LocalAcceptor acceptor(co_await asio::this_coro::executor);
  unlink(socket_path.c_str());
  acceptor.open(asio::local::stream_protocol(), error);
  if (!error) acceptor.bind(asio::local::stream_protocol::endpoint(socket_path), error);
  if (!error) acceptor.listen(1, error);
  if (error) co_return fail(Code::kIo, "listen on " + socket_path + ": " + error.message());
  UniqueFd go;
  ICON_CO_TRY(ChildProcess process, start_waiting(options_, request, go));
  co_return std::make_unique<CriuPreparedRestore>(std::move(request), std::move(process),
                                                  std::move(go), std::move(acceptor));
}

}  // namespace icon::migration
