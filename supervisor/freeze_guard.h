// A frozen service must not stay frozen because its supervisor died. Before the freeze a small
// process is started that holds one end of a pipe: when the supervisor ends without having said
// "disarm", it thaws the cgroup and opens the traffic again. Disarmed before the commit is
// journalled: from then on only the journal may decide (I1).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "base/subprocess.h"

namespace icon::supervisor {

class FreezeGuard {
 public:
  // `program`: icon-freeze-guard. `undo`: commands run in order, each as a program with arguments;
  // a failing one does not stop the next. `thaw_file`/`thaw_text`: written first of all.
  struct Undo {
    std::string thaw_file;
    std::string thaw_text;
    std::vector<std::vector<std::string>> commands;
  };
  // Returns when the process stands. Errors: kNotFound, kIo.
  static Result<FreezeGuard> arm(const std::string& program, const Undo& undo);
  FreezeGuard(FreezeGuard&&) noexcept = default;
  FreezeGuard& operator=(FreezeGuard&&) noexcept = default;
  // Ends the process without effect. Also on destruction. Errors: kIo.
  Status disarm();
  ~FreezeGuard();

 private:
  FreezeGuard(ChildProcess process, UniqueFd pipe)
      : process_(std::move(process)), pipe_(std::move(pipe)) {}
  std::optional<ChildProcess> process_;
  UniqueFd pipe_;
};

}  // namespace icon::supervisor
