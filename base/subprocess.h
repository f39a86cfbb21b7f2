// Other people's programs (runc, criu, ip, nft, tar), run with a limit and without a shell.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/result.h"
#include "base/task.h"

namespace icon {

struct Command {
  std::vector<std::string> argv;           // argv[0] is looked up in PATH
  std::string input;                       // written to standard input, which is then closed
  Millis timeout{30'000};                  // then SIGKILL to the process
  std::size_t output_bytes_max = 1 << 20;  // of each stream; the rest is dropped
  // Descriptors that the child inherits under a fixed number: {ours, child's}.
  std::vector<std::pair<int, int>> inherit;
  // Runs in the child between fork and exec: only async-signal-safe calls; non-zero aborts.
  // It has all descriptors of the parent, under the parent's numbers.
  std::function<int()> before_exec;
  std::vector<std::string> extra_environment;  // "NAME=value"
  // Both streams to /dev/null: for programs whose detached children keep their streams (runc).
  bool discard_output = false;
};

struct CommandOutcome {
  int exit_status = 0;  // 128 + signal when a signal ended it
  std::string output;
  std::string error_output;
  bool ok() const { return exit_status == 0; }
};

// Runs to the end. Errors: kNotFound (no such program), kTimeout, kIo. A non-zero exit is no Error.
// Cancelling the coroutine kills the process. Loop thread only.
Task<Result<CommandOutcome>> run_command(Command command);
// The same, blocking: for tools and tests that have no loop.
Result<CommandOutcome> run_command_blocking(Command command);
// As run_command, but a non-zero exit becomes Error{kIo} with the last lines of its stderr.
Task<Status> run_checked(Command command);
Status run_checked_blocking(Command command);

// A child that goes on while we do: killed (SIGTERM, then SIGKILL after `grace`) on destruction
// unless released. Not for the loop's coroutines: blocking waits only.
class ChildProcess {
 public:
  // standard streams: /dev/null unless a descriptor is given. Errors: kNotFound, kIo.
  struct Options {
    std::vector<std::string> argv;
    int input_fd = -1;
    int output_fd = -1;
    int error_fd = -1;
    std::vector<std::pair<int, int>> inherit;
    std::function<int()> before_exec;
    std::vector<std::string> extra_environment;
    bool die_with_parent = true;  // PR_SET_PDEATHSIG
    bool new_session = false;
    Millis grace{2'000};
  };
  static Result<ChildProcess> start(Options options);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess();

  int pid() const { return pid_; }
  int pidfd() const { return pidfd_.get(); }  // becomes readable when the child ends
  void signal(int number) const;
  // Waits up to `limit`; nullopt when it still runs. Exit status as in CommandOutcome.
  std::optional<int> wait(Millis limit);
  void stop();    // SIGTERM, grace, SIGKILL, reap
  int release();  // lets it live; returns the pid

 private:
  ChildProcess() = default;
  int pid_ = -1;
  UniqueFd pidfd_;
  Millis grace_{2'000};
};

}  // namespace icon
