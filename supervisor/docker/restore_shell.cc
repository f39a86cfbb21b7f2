#include "supervisor/docker/restore_shell.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <memory>

#include "base/file.h"
#include "base/subprocess.h"
#include "supervisor/docker/restore_launcher.h"
#include "supervisor/docker/runc_state.h"

namespace icon::supervisor {
namespace {

constexpr int kEndOfPlaceholderMs = 5'000;
constexpr Millis kRuncLimit{30'000};
constexpr const char* kPidFile = "/restored.pid";

// runc's own words are in the file that --log names, where the shim looks for them.
Status make_place(const ShellOrder& order, const OciArguments& arguments) {
  Command command;
  command.argv = arguments.all();
  command.argv.insert(command.argv.begin(), order.runc);
  command.timeout = kRuncLimit;
  command.discard_output = true;
  ICON_TRY(const auto outcome, run_command_blocking(std::move(command)));
  if (!outcome.ok()) return fail(Code::kIo, "runc could not make the container");
  return {};
}

Status end_placeholder(int pid) {
  const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd) return fail_errno("the place's process " + std::to_string(pid));
  ::kill(pid, SIGKILL);
  pollfd ended{pidfd.get(), POLLIN, 0};
  if (poll(&ended, 1, kEndOfPlaceholderMs) <= 0)
    return fail(Code::kTimeout, "the place's process does not end");
  return {};
}

Result<ChildProcess> start_criu(const std::string& pid_file, const ShellOrder& order,
                                const RestoreCall& call) {
  auto cgroups = std::make_shared<std::vector<UniqueFd>>();
  for (const auto& path : order.cgroup_procs_files) {
    UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd) return fail_errno("cgroup " + path);
    cgroups->push_back(std::move(fd));
  }
  ChildProcess::Options options;
  options.argv = call.command;
  options.argv.insert(options.argv.end(), {"--pidfile", pid_file});
  options.input_fd = call.input.get();
  options.extra_environment = {"ICON_HOLD_SOCKET=" + call.hold_socket};
  options.before_exec = [cgroups, netns = call.netns.get()] {
    if (setns(netns, CLONE_NEWNET) != 0) return 1;
    for (const auto& fd : *cgroups)
      if (write(fd.get(), "0", 1) < 0) return 1;
    return 0;
  };
  return ChildProcess::start(std::move(options));
}

// CRIU's exit status, told to the caller at once. The caller's end, or the supervisor's, is CRIU's.
Status see_criu_through(ChildProcess criu, const RestoreCall& call, int supervisor) {
  pollfd waits[] = {
      {criu.pidfd(), POLLIN, 0}, {call.launcher.get(), POLLIN, 0}, {supervisor, POLLIN, 0}};
  while (poll(waits, 3, -1) < 0 && errno == EINTR) continue;
  const auto status = waits[0].revents != 0 ? criu.wait(Millis(0)) : std::nullopt;
  if (!status) {
    criu.stop();
    return fail(Code::kCancelled, "the supervisor gave the restore up");
  }
  answer_restore_call(call, *status);
  if (*status != 0)
    return fail(Code::kIo, "criu restore failed; the supervisor's log has its words");
  return {};
}

Result<int> wait_for_restore(const std::string& icon_directory, const ShellOrder& order) {
  ICON_TRY(const auto listening, listen_unix(icon_directory + kRestoreSocket, SOCK_SEQPACKET));
  ICON_TRY(const auto supervisor, connect_unix(icon_directory + kShellSocket, SOCK_STREAM));
  if (send(supervisor.get(), kReadyLine, std::strlen(kReadyLine), MSG_NOSIGNAL) < 0)
    return fail_errno("tell the supervisor");
  pollfd waits[] = {{listening.get(), POLLIN, 0}, {supervisor.get(), POLLIN, 0}};
  while (poll(waits, 2, -1) < 0 && errno == EINTR) continue;
  if (waits[0].revents == 0)
    return fail(Code::kCancelled, "the supervisor gave the move up before the restore");
  ICON_TRY(auto call, accept_restore_call(listening.get()));
  const std::string pid_file = icon_directory + kPidFile;
  unlink(pid_file.c_str());
  ICON_TRY(auto criu, start_criu(pid_file, order, call));
  call.input.reset();
  ICON_CHECK(see_criu_through(std::move(criu), call, supervisor.get()));
  ICON_TRY(const auto text, read_file(pid_file, 64));
  int pid = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), pid).ec != std::errc() || pid <= 1)
    return fail(Code::kIo, "CRIU left no number of the restored process");
  return pid;
}

}  // namespace

Result<int> create_by_restore(const std::string& icon_directory, const ShellOrder& order,
                              OciArguments arguments) {
  arguments.set_option("--bundle", icon_directory + kShellBundle);
  arguments.set_option("-b", icon_directory + kShellBundle);
  ICON_CHECK(make_place(order, arguments));
  const std::string root = arguments.global_option("--root");
  const std::string state = (root.empty() ? "/run/runc" : root) + "/" + arguments.id();
  const auto restore = [&]() -> Result<int> {
    ICON_TRY(const int placeholder, read_init_pid(state));
    ICON_CHECK(end_placeholder(placeholder));
    ICON_TRY(const int pid, wait_for_restore(icon_directory, order));
    ICON_CHECK(adopt_init(state, pid, order.rootfs));
    if (const auto file = arguments.option("--pid-file"); !file.empty())
      ICON_CHECK(write_file_atomic(file, std::to_string(pid), 0644));
    return pid;
  };
  auto pid = restore();
  if (pid) return pid;
  Command remove;
  remove.argv = {order.runc};
  remove.argv.insert(remove.argv.end(), arguments.global.begin(), arguments.global.end());
  remove.argv.insert(remove.argv.end(), {"delete", "--force", arguments.id()});
  (void)run_command_blocking(std::move(remove));
  return pid;
}

}  // namespace icon::supervisor
