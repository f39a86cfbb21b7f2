// CRIU for containers: `criu dump` of a frozen cgroup, `criu restore` that stops at its
// post-restore script until the commit. runc made the container; restoring needs no runtime, since
// the images hold its namespaces and mounts.
#pragma once

#include <optional>
#include <string>

#include "migration/checkpointer.h"

namespace icon::migration {

struct CriuOptions {
  std::string criu_path;
  std::string hold_helper_path;  // icon-criu-hold
  // Runs the restore's command line, which it gets as its arguments, below somebody else, and stays
  // and ends with it; empty: the restore is our own child.
  std::string launcher_path = {};
};

class CriuCheckpointer final : public Checkpointer {
 public:
  explicit CriuCheckpointer(CriuOptions options) : options_(std::move(options)) {}
  Task<Status> memory_can_travel_apart() override;
  Task<bool> carries_other_users() override;
  Task<Status> prepare(std::string work_dir) override;
  Task<Result<DumpReport>> dump(DumpRequest request) override;
  Task<Result<std::unique_ptr<PreparedRestore>>> prepare_restore(RestoreRequest request) override;

 private:
  // Whether CRIU is one with our patches (migration/criu/).
  Task<bool> is_patched();

  CriuOptions options_;
  std::optional<bool> is_patched_;  // once it is known
};

// Only the "Error" lines of a CRIU log, the last `lines_max` of them, without time stamps: what a
// person needs. Pure.
std::string criu_error_lines(const std::string& log, std::size_t lines_max = 6);

}  // namespace icon::migration
