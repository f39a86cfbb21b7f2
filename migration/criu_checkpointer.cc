#include "migration/criu_checkpointer.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
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
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <sstream>

#include "base/fd.h"
#include "base/file.h"
#include "base/subprocess.h"
#include "migration/memory/memory_tracker.h"

namespace icon::migration {
namespace {

namespace asio = boost::asio;
using boost::asio::experimental::awaitable_operators::operator||;
using LocalSocket = asio::local::stream_protocol::socket;

constexpr std::size_t kLogBytesMax = 64 << 20;
constexpr Millis kDumpTimeout{60'000};
constexpr Millis kReleaseTimeout{10'000};
constexpr Millis kReapTimeout{5'000};

constexpr const char* kLazyHoles = "--lazy-holes";
constexpr const char* kKerndatCache = "--kerndat-cache";
constexpr const char* kKerndatFile = "criu.kdat";
constexpr const char* kCheckLog = "check.log";
constexpr const char* kDumpLog = "dump.log";
constexpr const char* kRestoreLog = "restore.log";

std::string log_errors(const std::string& path) {
  const auto log = read_file(path, kLogBytesMax);
  const std::string lines = log ? criu_error_lines(*log) : "";
  return lines.empty() ? "no error lines in " + path : lines;
}

std::uint64_t directory_bytes(const std::string& directory) {
  std::uint64_t bytes = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error))
    if (entry.is_regular_file(error)) bytes += entry.file_size(error);
  return bytes;
}

// CRIU works inside the service's network namespace: sockets are then its own affair and not part
// of a namespace that it would have to describe, which costs it about 30 ms at each end.
std::function<int()> in_netns(std::shared_ptr<const UniqueFd> netns) {
  return [netns = std::move(netns)] { return setns(netns->get(), CLONE_NEWNET); };
}

Result<std::shared_ptr<const UniqueFd>> open_netns_of(const std::string& path) {
  auto netns = std::make_shared<const UniqueFd>(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!*netns) return fail_errno("network namespace " + path);
  return netns;
}

void append(std::vector<std::string>& arguments, std::initializer_list<std::string> more) {
  arguments.insert(arguments.end(), more);
}

// CRIU's options that dump and restore must agree on.
std::vector<std::string> common_arguments(const std::string& work_dir) {
  std::vector<std::string> arguments{"--tcp-established",
                                     "--network-lock",
                                     "skip",  // the supervisor holds the traffic itself
                                     "--file-locks",
                                     "--manage-cgroups=ignore",
                                     "-v1"};
  const std::string kerndat = work_dir + "/" + kKerndatFile;
  if (access(kerndat.c_str(), R_OK) == 0) append(arguments, {kKerndatCache, kerndat});
  return arguments;
}

class CriuHeldRestore final : public HeldRestore {
 public:
  CriuHeldRestore(ChildProcess criu, LocalSocket gate, int init_pid, std::string log_path)
      : criu_(std::move(criu)),
        gate_(std::move(gate)),
        init_pid_(init_pid),
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
      co_return fail(Code::kIo, "criu restore: " + log_errors(log_path_));
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

  // The first process of a PID namespace takes all others with it.
  void kill_tree() {
    if (init_pid_ > 0) kill(std::exchange(init_pid_, 0), SIGKILL);
    criu_.stop();
    released_ = true;
  }

  ChildProcess criu_;
  LocalSocket gate_;
  int init_pid_;
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

struct Restorer {
  ChildProcess criu;
  LocalSocket gate;
  int init_pid;
};

std::vector<std::string> restore_arguments(const CriuOptions& options,
                                           const RestoreRequest& request) {
  std::vector<std::string> arguments{
      options.criu_path, "restore", "-D",         request.image_dir,   "-W", request.work_dir, "-o",
      kRestoreLog,       "--root",  request.root, "--restore-detached"};
  for (const auto& argument : common_arguments(request.work_dir)) arguments.push_back(argument);
  for (const auto& mount : request.external_mounts)
    append(arguments, {"--external", "mnt[" + mount.name + "]:" + mount.host_path});
  if (request.memory_apart) arguments.emplace_back("--lazy-pages");
  append(arguments, {"--action-script", options.hold_helper_path});
  return arguments;
}

Result<ChildProcess> start_restore(const CriuOptions& options, const RestoreRequest& request) {
  ICON_TRY(const auto netns, open_netns_of(request.netns_path));
  // Opened here: the child may only make async-signal-safe calls.
  auto cgroups = std::make_shared<std::vector<UniqueFd>>();
  for (const auto& path : request.cgroup_procs_files) {
    UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd) return fail_errno("cgroup " + path);
    cgroups->push_back(std::move(fd));
  }
  ChildProcess::Options child;
  child.argv = restore_arguments(options, request);
  child.extra_environment = {"ICON_HOLD_SOCKET=" + request.work_dir + "/hold.sock"};
  child.before_exec = [cgroups, enter = in_netns(netns)] {
    if (enter() != 0) return 1;
    for (const auto& fd : *cgroups)
      if (write(fd.get(), "0", 1) < 0) return 1;
    return 0;
  };
  return ChildProcess::start(std::move(child));
}

}  // namespace

std::string criu_error_lines(const std::string& log, std::size_t lines_max) {
  std::deque<std::string> errors;
  std::istringstream stream(log);
  for (std::string line; std::getline(stream, line);) {
    const auto at = line.find("Error (");
    if (at == std::string::npos) continue;
    errors.push_back(line.substr(at));
    if (errors.size() > lines_max) errors.pop_front();
  }
  std::string text;
  for (const auto& line : errors) text += (text.empty() ? "" : "; ") + line;
  return text;
}

Task<bool> CriuCheckpointer::is_patched() {
  if (is_patched_) co_return *is_patched_;
  Command command;
  command.argv = {options_.criu_path, "--help"};
  const auto help = co_await run_command(std::move(command));
  is_patched_ = help && help->output.find(kLazyHoles) != std::string::npos &&
                help->output.find(kKerndatCache) != std::string::npos;
  co_return *is_patched_;
}

Task<Status> CriuCheckpointer::memory_can_travel_apart() {
  ICON_CO_CHECK(MemoryTracker::available());
  if (!co_await is_patched())
    co_return fail(Code::kUnavailable, options_.criu_path +
                                           " lacks the patches in migration/criu/; `make deps` "
                                           "builds one that has them");
  co_return Status{};
}

Task<Status> CriuCheckpointer::prepare(std::string work_dir) {
  if (!co_await is_patched()) co_return Status{};
  Command command;
  command.argv = {
      options_.criu_path,           "check", "-W", work_dir, "-o", kCheckLog, kKerndatCache,
      work_dir + "/" + kKerndatFile};
  ICON_CO_TRY(const auto outcome, co_await run_command(std::move(command)));
  if (!outcome.ok())
    co_return fail(Code::kIo, "criu check: " + log_errors(work_dir + "/" + kCheckLog));
  co_return Status{};
}

Task<Result<DumpReport>> CriuCheckpointer::dump(DumpRequest request) {
  const auto start = std::chrono::steady_clock::now();
  ICON_CO_TRY(const auto netns,
              open_netns_of("/proc/" + std::to_string(request.init_pid) + "/ns/net"));
  Command command;
  command.argv = {options_.criu_path,
                  "dump",
                  "-t",
                  std::to_string(request.init_pid),
                  "-D",
                  request.image_dir,
                  "-W",
                  request.work_dir,
                  "-o",
                  kDumpLog,
                  "--leave-running",
                  "--freeze-cgroup",
                  request.freezer_cgroup,
                  "--skip-in-flight"};
  for (const auto& argument : common_arguments(request.work_dir)) command.argv.push_back(argument);
  for (const auto& mount : request.external_mounts)
    append(command.argv, {"--external", "mnt[" + mount.mountpoint + "]:" + mount.name});
  if (request.memory_apart) command.argv.emplace_back(kLazyHoles);
  command.before_exec = in_netns(netns);
  command.timeout = kDumpTimeout;
  ICON_CO_TRY(const auto outcome, co_await run_command(std::move(command)));
  if (!outcome.ok())
    co_return fail(Code::kIo, "criu dump: " + log_errors(request.work_dir + "/" + kDumpLog));
  co_return DumpReport{
      directory_bytes(request.image_dir),
      std::chrono::duration_cast<Micros>(std::chrono::steady_clock::now() - start)};
}

Task<Result<std::unique_ptr<HeldRestore>>> CriuCheckpointer::restore(RestoreRequest request) {
  const auto executor = co_await asio::this_coro::executor;
  const std::string socket_path = request.work_dir + "/hold.sock";
  const std::string log_path = request.work_dir + "/" + kRestoreLog;
  boost::system::error_code error;
  asio::local::stream_protocol::acceptor acceptor(executor);
  unlink(socket_path.c_str());
  acceptor.open(asio::local::stream_protocol(), error);
  if (!error) acceptor.bind(asio::local::stream_protocol::endpoint(socket_path), error);
  if (!error) acceptor.listen(1, error);
  if (error) co_return fail(Code::kIo, "listen on " + socket_path + ": " + error.message());
  ICON_CO_TRY(ChildProcess criu, start_restore(options_, request));

  // Held, failed or too slow: whichever comes first.
  LocalSocket gate(executor);
  asio::posix::stream_descriptor ended(executor, dup(criu.pidfd()));
  asio::steady_timer limit(executor, request.timeout);
  const auto which =
      co_await (acceptor.async_accept(gate, asio::use_awaitable) ||
                ended.async_wait(asio::posix::descriptor_base::wait_read, asio::use_awaitable) ||
                limit.async_wait(asio::use_awaitable));
  unlink(socket_path.c_str());
  if (which.index() == 1) co_return fail(Code::kIo, "criu restore: " + log_errors(log_path));
  if (which.index() == 2) {
    criu.stop();
    co_return fail(Code::kTimeout, "criu restore did not finish within " +
                                       std::to_string(request.timeout.count()) + " ms");
  }
  const auto pid = co_await read_held_line(gate);
  if (!pid) {
    criu.stop();
    co_return fail(pid.error());
  }
  co_return std::make_unique<CriuHeldRestore>(std::move(criu), std::move(gate), *pid, log_path);
}

}  // namespace icon::migration
