// The control group of one ICON: limits, freeze, and "who is in it". Speaks cgroup v1 (a directory
// per controller) and v2 (one directory). A value that names directories; it owns no descriptor.
// Loop thread only.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/result.h"
#include "base/task.h"
#include "wire/documents.h"

namespace icon::supervisor {

class Cgroup {
 public:
  // `path` is absolute within each hierarchy: "/icon/<host>/<icon>". Errors: kUnavailable when no
  // cgroup file system is mounted.
  static Result<Cgroup> at(const std::string& path);
  // The same on a v2 hierarchy mounted at `mountpoint`, whatever else there is.
  static Cgroup on_v2(const std::string& mountpoint, const std::string& path);

  const std::string& path() const { return path_; }
  bool is_v2() const { return v2_; }
  // Existing and would-be directories, one per controller (v2: one).
  const std::vector<std::string>& directories() const { return directories_; }
  // The directory for criu's --freeze-cgroup.
  const std::string& freezer_directory() const { return freezer_; }

  // Makes the directories and sets the limits (0 = none). For containers that CRIU restores; runc
  // makes its own. Errors: kIo, kRefused.
  Status create(const wire::Resources& limits) const;
  // cgroup.procs of each directory, open for writing: a child joins with join() between fork and
  // exec. Errors: kIo, kNotFound.
  Result<std::vector<UniqueFd>> open_procs() const;
  // Async-signal-safe. 0, or -1 with errno.
  static int join(const std::vector<UniqueFd>& procs);

  // Returns when every task has stopped. Errors: kTimeout, kIo, kNotFound.
  Task<Status> freeze(Millis limit = Millis(5'000)) const;
  Status thaw() const;
  bool frozen() const;
  std::vector<int> processes() const;
  // SIGKILL to all, thawed if need be, until nobody is left. Errors: kTimeout.
  Task<Status> kill_all(Millis limit = Millis(5'000)) const;
  // Removes the directories; absent ones are fine. Errors: kConflict when somebody is in there.
  Task<Status> remove() const;

 private:
  Cgroup() = default;
  std::string path_;
  bool v2_ = false;
  std::vector<std::string> directories_;
  std::string freezer_;
};

}  // namespace icon::supervisor
