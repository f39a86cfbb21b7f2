// A container as icon-supervisor makes them (runc, an overlay as root, one bind mount, a network
// namespace of its own), with one animal of the zoo in it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/json.h"
#include "base/subprocess.h"
#include "base/task.h"
#include "migration/criu_checkpointer.h"
#include "supervisor/cgroup.h"
#include "supervisor/memory_directory.h"

namespace icon::migration {

class Cage {
 public:
  struct Options {
    std::string animal;
    std::function<UniqueFd()> give;    // what "received" gets from outside
    std::string overlay_options;       // further ones of the root
    std::vector<json::Object> mounts;  // further ones of the container, OCI
  };
  // Errors: whatever could not be set up; the animal's own words when the kernel refused it.
  static Result<std::unique_ptr<Cage>> create(const Options& options);
  ~Cage();

  int pid() const { return pid_; }
  const supervisor::Cgroup& cgroup() const { return *cgroup_; }
  std::string directory() const { return base_; }

  // What the animal has connected to /run/icon/stream.sock.
  UniqueFd accept() const;
  Status freeze();
  // Freezes and dumps. Errors: CRIU's words; kTimeout when it has not ended within `limit`.
  Status dump(Millis limit);
  // Kills what is there and restores what was dumped, into a new network namespace; pid() is the
  // restored one's.
  Status restore();

  // For who dumps and restores by hand.
  CriuCheckpointer& checkpointer() { return *checkpointer_; }
  DumpRequest dump_request() const;
  RestoreRequest restore_request() const;
  Status run(Task<Status> task);
  IoContext& loop() { return loop_; }

 private:
  Cage() = default;
  Status set_up(const Options& options);
  Status start_guard();
  Status start(const Options& options);
  Status make_namespace();
  Status remove_namespace();
  json::Object config(const Options& options) const;
  Command runc(std::vector<std::string> arguments) const;

  std::string base_;
  std::string tag_;
  int pid_ = 0;
  bool has_namespace_ = false;
  std::vector<UniqueFd> sockets_;
  std::optional<supervisor::Cgroup> cgroup_;
  supervisor::MemoryDirectory images_;
  std::unique_ptr<CriuCheckpointer> checkpointer_;
  IoContext loop_;
  UniqueFd guarded_;  // its end is the guard's sign
  std::optional<ChildProcess> guard_;
};

}  // namespace icon::migration
