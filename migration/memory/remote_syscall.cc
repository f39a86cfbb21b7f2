#include "migration/memory/remote_syscall.h"

#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <string>
#include <vector>

namespace icon::migration {
namespace {

constexpr long kOptionSuspendSeccomp = 1 << 21;  // PTRACE_O_SUSPEND_SECCOMP
constexpr int kEventStop = 128;                  // PTRACE_EVENT_STOP
constexpr std::uint64_t kVdsoBytesMax = 64 << 10;
// A stop by ptrace is told by SIGCHLD and wait(2) only, which the rest of this process uses as
// well: it is asked for, often and for a bounded time.
constexpr int kStopPolls = 20'000;
constexpr timespec kStopPoll{0, 50'000};

Result<std::uint64_t> syscall_instruction(int pid) {
  std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
  for (std::string line; std::getline(maps, line);) {
    if (!line.ends_with("[vdso]")) continue;
    std::uint64_t start = 0;
    std::uint64_t end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx", &start, &end) != 2 || end <= start ||
        end - start > kVdsoBytesMax)
      break;
    std::vector<unsigned char> code(end - start);
    const iovec local{code.data(), code.size()};
    const iovec remote{reinterpret_cast<void*>(start), code.size()};
    if (process_vm_readv(pid, &local, 1, &remote, 1, 0) != static_cast<ssize_t>(code.size()))
      return fail_errno("read the vDSO of process " + std::to_string(pid));
    constexpr std::array<unsigned char, 2> kSyscall{0x0f, 0x05};
    const auto found = std::search(code.begin(), code.end(), kSyscall.begin(), kSyscall.end());
    if (found == code.end()) break;
    return start + static_cast<std::uint64_t>(found - code.begin());
  }
  return fail(Code::kUnavailable, "process " + std::to_string(pid) + " has no vDSO to call from");
}

// The next stop of `pid`; its status.
Result<int> wait_for_stop(int pid) {
  for (int poll = 0; poll < kStopPolls; ++poll) {
    int status = 0;
    const pid_t waited = waitpid(pid, &status, __WALL | WNOHANG);
    if (waited < 0 && errno != EINTR) return fail_errno("wait for process " + std::to_string(pid));
    if (waited == pid) {
      if (!WIFSTOPPED(status))
        return fail(Code::kNotFound, "process " + std::to_string(pid) + " ended");
      return status;
    }
    nanosleep(&kStopPoll, nullptr);
  }
  return fail(Code::kTimeout, "process " + std::to_string(pid) + " cannot be stopped");
}

// Signals on the way are delivered; what we asked for comes after them.
Status wait_for_interrupt(int pid) {
  for (;;) {
    ICON_TRY(const int status, wait_for_stop(pid));
    if (status >> 16 == kEventStop) return {};
    if (ptrace(PTRACE_CONT, pid, 0, WSTOPSIG(status)) != 0)
      return fail_errno("continue process " + std::to_string(pid));
  }
}

}  // namespace

Result<StoppedProcess> StoppedProcess::stop(int pid) {
  ICON_TRY(const std::uint64_t instruction, syscall_instruction(pid));
  const std::string what = "trace process " + std::to_string(pid);
  if (ptrace(PTRACE_SEIZE, pid, 0, 0) != 0) return fail_errno(what);
  const auto give_up = [pid](auto error) {
    ptrace(PTRACE_DETACH, pid, 0, 0);
    return error;
  };
  if (ptrace(PTRACE_INTERRUPT, pid, 0, 0) != 0) return give_up(fail_errno(what));
  if (const auto stopped = wait_for_interrupt(pid); !stopped) return give_up(fail(stopped.error()));
  // A seccomp filter of the service's must not kill it for our call. Not every host allows this.
  (void)ptrace(PTRACE_SETOPTIONS, pid, 0, kOptionSuspendSeccomp);
  user_regs_struct saved{};
  if (ptrace(PTRACE_GETREGS, pid, 0, &saved) != 0) return give_up(fail_errno(what));
  return StoppedProcess(pid, saved, instruction);
}

StoppedProcess::~StoppedProcess() {
  if (pid_ == 0) return;
  // With the registers of before: an interrupted system call is restarted by the kernel.
  ptrace(PTRACE_SETREGS, pid_, 0, &saved_);
  ptrace(PTRACE_DETACH, pid_, 0, 0);
}

Result<long> StoppedProcess::call(long number, long first, long second, long third) {
  user_regs_struct registers = saved_;
  registers.rax = static_cast<unsigned long>(number);
  registers.rdi = static_cast<unsigned long>(first);
  registers.rsi = static_cast<unsigned long>(second);
  registers.rdx = static_cast<unsigned long>(third);
  registers.orig_rax = ~0UL;  // nothing to restart
  registers.rip = instruction_;
  const std::string what = "system call in process " + std::to_string(pid_);
  if (ptrace(PTRACE_SETREGS, pid_, 0, &registers) != 0 ||
      ptrace(PTRACE_SINGLESTEP, pid_, 0, 0) != 0)
    return fail_errno(what);
  ICON_TRY(const int status, wait_for_stop(pid_));
  if (ptrace(PTRACE_GETREGS, pid_, 0, &registers) != 0) return fail_errno(what);
  if (registers.rip != instruction_ + 2)
    return fail(Code::kIo, what + " was interrupted by signal " + std::to_string(WSTOPSIG(status)));
  return static_cast<long>(registers.rax);
}

}  // namespace icon::migration
