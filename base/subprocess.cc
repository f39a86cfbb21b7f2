#include "base/subprocess.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <set>
#include <sstream>

#include "base/assert.h"
#include "base/file.h"
#include "base/orphans.h"

extern char** environ;

namespace icon {
namespace {

constexpr int kFirstFreeFd = 200;  // inherited descriptors are parked above what a child is given

// Who was started here and is not reaped, or was let go. Tests start children on several threads.
struct Started {
  std::mutex mutex;
  std::set<int> pids;

  void add(int pid) {
    const std::lock_guard lock(mutex);
    pids.insert(pid);
  }
  void remove(int pid) {
    const std::lock_guard lock(mutex);
    pids.erase(pid);
  }
  bool has(int pid) {
    const std::lock_guard lock(mutex);
    return pids.contains(pid);
  }
};

Started& started() {
  static Started children;
  return children;
}

struct Streams {
  int input = -1;
  int output = -1;
  int error = -1;
};

int exit_status_of(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

int reap(int pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  started().remove(pid);
  return exit_status_of(status);
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (auto& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> merged_environment(const std::vector<std::string>& extra) {
  std::vector<std::string> merged = extra;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const auto name = text.substr(0, text.find('=') + 1);
    const bool replaced = std::any_of(extra.begin(), extra.end(), [&](const std::string& other) {
      return other.starts_with(name);
    });
    if (!replaced) merged.emplace_back(text);
  }
  return merged;
}

struct Spawned {
  int pid = -1;
  UniqueFd pidfd;
};

// Forks and executes. The child's exec error comes back through a close-on-exec pipe, so that a
// program that does not exist is an Error and not an exit status.
Result<Spawned> spawn(std::vector<std::string> argv, Streams streams,
                      const std::vector<std::pair<int, int>>& inherit,
                      const std::function<int()>& before_exec,
                      const std::vector<std::string>& extra_environment, bool die_with_parent,
                      bool new_session) {
  ICON_ASSERT(!argv.empty());
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) return fail_errno("pipe");
  UniqueFd report_read(report[0]);
  UniqueFd report_write(report[1]);
  UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  const std::string program = argv[0];
  auto arguments = pointers_to(argv);
  auto environment_texts = merged_environment(extra_environment);
  auto environment = pointers_to(environment_texts);
  const int parent = getpid();
  const int pid = fork();
  if (pid < 0) return fail_errno("fork for " + program);
  if (pid == 0) {
    const auto give_up = [&](int error) {
      (void)!::write(report_write.get(), &error, sizeof error);
      _exit(127);
    };
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    signal(SIGPIPE, SIG_DFL);
    if (die_with_parent) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) _exit(127);
    }
    if (new_session) setsid();
    const int report_fd = fcntl(report_write.get(), F_DUPFD_CLOEXEC, kFirstFreeFd);
    if (report_fd < 0) give_up(errno);
    report_write.reset(report_fd);
    // First all copies out of the way, then into place: no copy overwrites a source.
    int parked[3] = {streams.input, streams.output, streams.error};
    for (int& fd : parked) fd = fcntl(fd >= 0 ? fd : null.get(), F_DUPFD_CLOEXEC, kFirstFreeFd);
    std::vector<std::pair<int, int>> moves;
    moves.reserve(inherit.size());
    for (const auto& [ours, theirs] : inherit)
      moves.emplace_back(fcntl(ours, F_DUPFD_CLOEXEC, kFirstFreeFd), theirs);
    // Before anything is put in place: it may use descriptors of ours under any number.
    if (before_exec && before_exec() != 0) give_up(errno != 0 ? errno : EINVAL);
    // What was opened without close-on-exec, by a library or by whoever started us, stays here.
    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
    for (int i = 0; i < 3; ++i)
      if (dup2(parked[i], i) < 0) give_up(errno);
    for (const auto& [from, to] : moves)
      if (dup2(from, to) < 0) give_up(errno);
    execvpe(arguments[0], arguments.data(), environment.data());
    give_up(errno);
  }
  started().add(pid);
  report_write.reset();
  Spawned child{pid, UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)))};
  const int pidfd_error = errno;
  int error = 0;
  ssize_t count = 0;
  do {
    count = read(report_read.get(), &error, sizeof error);
  } while (count < 0 && errno == EINTR);
  if (count == static_cast<ssize_t>(sizeof error)) {
    reap(pid);
    return fail_errno("run " + program, error);
  }
  if (!child.pidfd) {
    // Nobody could wait for it with a limit.
    kill(pid, SIGKILL);
    reap(pid);
    return fail_errno("pidfd for " + program, pidfd_error);
  }
  return child;
}

struct Capture {
  UniqueFd input;
  UniqueFd output;
  UniqueFd error;
};

Result<Capture> make_capture(const Command& command) {
  Capture capture;
  if (!command.discard_output) {
    capture.output.reset(memfd_create("output", MFD_CLOEXEC));
    capture.error.reset(memfd_create("error", MFD_CLOEXEC));
    if (!capture.output || !capture.error) return fail_errno("memfd_create");
  }
  if (!command.input.empty()) {
    capture.input.reset(memfd_create("input", MFD_CLOEXEC));
    if (!capture.input) return fail_errno("memfd_create");
    std::size_t done = 0;
    while (done < command.input.size()) {
      const ssize_t count =
          write(capture.input.get(), command.input.data() + done, command.input.size() - done);
      if (count < 0) return fail_errno("write input");
      done += static_cast<std::size_t>(count);
    }
    lseek(capture.input.get(), 0, SEEK_SET);
  }
  return capture;
}

std::string captured(const UniqueFd& fd, std::size_t bytes_max) {
  std::string text;
  if (!fd) return text;
  char chunk[16384];
  off_t offset = 0;
  while (text.size() < bytes_max) {
    const ssize_t count =
        pread(fd.get(), chunk, std::min(sizeof chunk, bytes_max - text.size()), offset);
    if (count <= 0) break;
    text.append(chunk, static_cast<std::size_t>(count));
    offset += count;
  }
  return text;
}

// Kills and reaps on every way out, cancellation included.
class RunningChild {
 public:
  explicit RunningChild(int pid) : pid_(pid) {}
  RunningChild(const RunningChild&) = delete;
  RunningChild& operator=(const RunningChild&) = delete;
  ~RunningChild() {
    if (pid_ < 0) return;
    kill(pid_, SIGKILL);
    reap(pid_);
  }
  int finish() { return reap(std::exchange(pid_, -1)); }

 private:
  int pid_;
};

Result<Spawned> spawn_captured(Command& command, const Capture& capture) {
  return spawn(command.argv, {capture.input.get(), capture.output.get(), capture.error.get()},
               command.inherit, command.before_exec, command.extra_environment,
               /*die_with_parent=*/true, /*new_session=*/false);
}

CommandOutcome outcome_of(int exit_status, const Command& command, const Capture& capture) {
  return {exit_status, captured(capture.output, command.output_bytes_max),
          captured(capture.error, command.output_bytes_max)};
}

tl::unexpected<Error> timed_out(const Command& command) {
  return fail(Code::kTimeout, command.argv[0] + " did not end within " +
                                  std::to_string(command.timeout.count()) + " ms");
}

std::string last_part(const std::string& text) {
  constexpr std::size_t kShown = 600;
  std::string part = text.size() > kShown ? text.substr(text.size() - kShown) : text;
  while (!part.empty() && part.back() == '\n') part.pop_back();
  return part;
}

Status checked(const std::string& name, const Result<CommandOutcome>& outcome) {
  if (!outcome) return fail(outcome.error());
  if (outcome->ok()) return {};
  return fail(Code::kIo, name + " failed (exit " + std::to_string(outcome->exit_status) +
                             "): " + last_part(outcome->error_output + outcome->output));
}

std::string described(const Command& command) {
  std::string text;
  for (std::size_t i = 0; i < std::min<std::size_t>(command.argv.size(), 4); ++i)
    text += (i == 0 ? "" : " ") + command.argv[i];
  return text;
}

}  // namespace

Task<Result<CommandOutcome>> run_command(Command command) {
  namespace asio = boost::asio;
  using asio::experimental::awaitable_operators::operator||;
  ICON_CO_TRY(Capture capture, make_capture(command));
  ICON_CO_TRY(Spawned child, spawn_captured(command, capture));
  RunningChild running(child.pid);
  const auto executor = co_await asio::this_coro::executor;
  asio::posix::stream_descriptor ended(executor, child.pidfd.release());
  asio::steady_timer limit(executor, command.timeout);
  const auto which =
      co_await (ended.async_wait(asio::posix::descriptor_base::wait_read, asio::use_awaitable) ||
                limit.async_wait(asio::use_awaitable));
  if (which.index() == 1) co_return timed_out(command);
  co_return outcome_of(running.finish(), command, capture);
}

Result<CommandOutcome> run_command_blocking(Command command) {
  ICON_TRY(Capture capture, make_capture(command));
  ICON_TRY(Spawned child, spawn_captured(command, capture));
  RunningChild running(child.pid);
  pollfd ended{child.pidfd.get(), POLLIN, 0};
  const auto deadline = std::chrono::steady_clock::now() + command.timeout;
  for (;;) {
    const auto left =
        std::chrono::duration_cast<Millis>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return timed_out(command);
    if (poll(&ended, 1, static_cast<int>(left.count())) > 0) break;
  }
  return outcome_of(running.finish(), command, capture);
}

Task<Status> run_checked(Command command) {
  const std::string name = described(command);
  co_return checked(name, co_await run_command(std::move(command)));
}

Status run_checked_blocking(Command command) {
  const std::string name = described(command);
  return checked(name, run_command_blocking(std::move(command)));
}

Result<ChildProcess> ChildProcess::start(Options options) {
  ICON_TRY(Spawned child,
           spawn(std::move(options.argv), {options.input_fd, options.output_fd, options.error_fd},
                 options.inherit, options.before_exec, options.extra_environment,
                 options.die_with_parent, options.new_session));
  ChildProcess process;
  process.pid_ = child.pid;
  process.pidfd_ = std::move(child.pidfd);
  process.grace_ = options.grace;
  return process;
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), pidfd_(std::move(other.pidfd_)), grace_(other.grace_) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this != &other) {
    stop();
    pid_ = std::exchange(other.pid_, -1);
    pidfd_ = std::move(other.pidfd_);
    grace_ = other.grace_;
  }
  return *this;
}

ChildProcess::~ChildProcess() { stop(); }

void ChildProcess::signal(int number) const {
  if (pid_ > 0) kill(pid_, number);
}

std::optional<int> ChildProcess::wait(Millis limit) {
  if (pid_ < 0) return std::nullopt;
  pollfd ended{pidfd_.get(), POLLIN, 0};
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (;;) {
    const auto left =
        std::chrono::duration_cast<Millis>(deadline - std::chrono::steady_clock::now());
    const int count = poll(&ended, 1, static_cast<int>(std::max<std::int64_t>(0, left.count())));
    if (count > 0) return reap(std::exchange(pid_, -1));
    // A signal of ours may end the poll early, but not the wait.
    if (left.count() <= 0) return std::nullopt;
  }
}

void ChildProcess::stop() {
  if (pid_ < 0) return;
  signal(SIGTERM);
  if (wait(grace_)) return;
  signal(SIGKILL);
  reap(std::exchange(pid_, -1));
}

int ChildProcess::release() { return std::exchange(pid_, -1); }

int reap_orphans(const std::function<bool(int pid)>& is_awaited) {
  constexpr std::size_t kChildrenBytesMax = 1 << 20;
  int reaped = 0;
  std::error_code error;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task", error)) {
    const auto text = read_file(thread.path().string() + "/children", kChildrenBytesMax);
    std::istringstream children(text.value_or(""));
    for (int pid = 0; children >> pid;)
      if (!started().has(pid) && !is_awaited(pid)) reaped += waitpid(pid, nullptr, WNOHANG) == pid;
  }
  return reaped;
}

}  // namespace icon
