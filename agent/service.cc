#include "agent/service.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace icon::agent {
namespace {

constexpr unsigned kLogMode = 0640;
constexpr int kOldKernelDescriptorsMax = 1024;

Result<UniqueFd> open_empty_input() {
  UniqueFd fd(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (fd) return fd;
  // An image without /dev: a pipe whose writer is gone reads as an empty file, too.
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return fail_errno("make an empty input");
  close(ends[1]);
  return UniqueFd(ends[0]);
}

Result<UniqueFd> open_log(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, kLogMode));
  if (!fd) return fail_errno("open " + path);
  return fd;
}

// Everything below runs between fork and exec: async-signal-safe calls only.

void reset_signals() {
  for (int number = 1; number < NSIG; ++number) {
    if (number != SIGKILL && number != SIGSTOP) signal(number, SIG_DFL);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

void take_terminal() {
  if (isatty(STDIN_FILENO) == 0) return;
  signal(SIGTTOU, SIG_IGN);  // else we would be stopped for asking from the background
  tcsetpgrp(STDIN_FILENO, getpgrp());
  signal(SIGTTOU, SIG_DFL);
}

// Asio's sockets are handed on unless that is forbidden: our connection to the supervisor would be
// another's, and the container could not move while it runs.
void keep_own_descriptors() {
  if (close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) == 0) return;
  for (int fd = STDERR_FILENO + 1; fd < kOldKernelDescriptorsMax; ++fd)  // before Linux 5.11
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

[[noreturn]] void run_child(char* const* argv, int input, int output, bool own_session,
                            int error_pipe) {
  if (own_session) {
    setsid();
  } else {
    setpgid(0, 0);
    take_terminal();
  }
  if (input >= 0) dup2(input, STDIN_FILENO);
  if (output >= 0) {
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
  }
  reset_signals();
  if (own_session) keep_own_descriptors();
  execvp(argv[0], argv);
  const int error = errno;
  [[maybe_unused]] const ssize_t count = write(error_pipe, &error, sizeof error);
  _exit(127);
}

}  // namespace

Result<ServiceStreams> open_service_streams(const std::string& log_path) {
  ServiceStreams streams;
  ICON_TRY(streams.input, open_empty_input());
  ICON_TRY(streams.output, open_log(log_path));
  return streams;
}

Status detach_own_streams(const std::string& log_path) {
  if (close_range(STDERR_FILENO + 1, ~0U, 0) != 0)  // kernels before 5.9 have no such call
    for (int fd = STDERR_FILENO + 1; fd < kOldKernelDescriptorsMax; ++fd) close(fd);
  ICON_TRY(const UniqueFd input, open_empty_input());
  ICON_TRY(const UniqueFd output, open_log(log_path));
  if (dup2(input.get(), STDIN_FILENO) < 0 || dup2(output.get(), STDOUT_FILENO) < 0 ||
      dup2(output.get(), STDERR_FILENO) < 0)
    return fail_errno("redirect the standard streams");
  return {};
}

Result<pid_t> start_service(const std::vector<std::string>& argv, const ServiceStreams& streams,
                            bool own_session) {
  std::vector<char*> pointers;
  pointers.reserve(argv.size() + 1);
  for (const auto& argument : argv) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);

  // exec closes the pipe; a failed exec writes its errno there first.
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return fail_errno("start " + argv[0]);
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const pid_t pid = fork();
  if (pid < 0) return fail_errno("fork for " + argv[0]);
  if (pid == 0)
    run_child(pointers.data(), streams.input.get(), streams.output.get(), own_session,
              write_end.get());
  write_end.reset();
  int error = 0;
  ssize_t count;
  do {
    count = read(read_end.get(), &error, sizeof error);
  } while (count < 0 && errno == EINTR);
  if (count != sizeof error) return pid;
  waitpid(pid, nullptr, 0);
  const std::string what = "cannot run '" + argv[0] + "'";
  if (error == ENOENT)
    return fail(Code::kNotFound, what + ": no such program in this image (or its interpreter)");
  return fail(Code::kRefused, what + ": " + std::strerror(error));
}

int exit_code_of_start(const Error& error) { return error.code == Code::kNotFound ? 127 : 126; }

}  // namespace icon::agent
