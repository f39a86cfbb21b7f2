// System calls run inside another process, for what only it can do to itself: userfaultfd(2) of its
// memory. By ptrace(2), with the `syscall` instruction that every process has in its vDSO: no byte
// of the process is changed, and it stands still for well under a millisecond. x86-64.
#pragma once

#include <sys/user.h>

#include <cstdint>
#include <utility>

#include "base/result.h"

namespace icon::migration {

// A process that stands still while the object lives; it goes on where it was afterwards. All calls
// from the thread that made it (a rule of ptrace).
class StoppedProcess {
 public:
  // Errors: kNotFound (it ended), kRefused (traced by somebody else, no privilege), kTimeout (it
  // sleeps where it cannot be interrupted), kUnavailable (no vDSO; another architecture).
  static Result<StoppedProcess> stop(int pid);
  StoppedProcess(StoppedProcess&& other) noexcept
      : pid_(std::exchange(other.pid_, 0)),
        saved_(other.saved_),
        instruction_(other.instruction_) {}
  StoppedProcess& operator=(StoppedProcess&&) = delete;
  ~StoppedProcess();

  // The system call's result, -errno included. Errors: kIo (it died).
  Result<long> call(long number, long first = 0, long second = 0, long third = 0);

 private:
  StoppedProcess(int pid, const user_regs_struct& saved, std::uint64_t instruction)
      : pid_(pid), saved_(saved), instruction_(instruction) {}
  int pid_;
  user_regs_struct saved_;
  std::uint64_t instruction_;
};

}  // namespace icon::migration
