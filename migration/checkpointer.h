// Freezing a process tree into files and waking it elsewhere, behind one interface: CRIU driven
// directly (criu_checkpointer.h), for containers of Docker's too (supervisor/docker).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/task.h"

namespace icon::migration {

// What an open or mapped file may hold that has no name any more, like a library after an upgrade:
// it travels in the gap.
inline constexpr std::uint64_t kNamelessBytesMax = 64 << 20;

// A mount of the container whose source lies outside: named in the images, given again on restore.
struct ExternalMount {
  std::string mountpoint;  // inside: "/run/icon"
  std::string name;        // in the images: "iconrun"
  std::string host_path;   // where it comes from on this host
};

struct DumpRequest {
  int init_pid = 0;
  std::string image_dir;       // exists, on tmpfs: memory never touches a disk
  std::string work_dir;        // logs and what prepare() left there
  std::string freezer_cgroup;  // frozen already, and frozen still when dump() returns
  std::vector<ExternalMount> external_mounts;
  // The images only name the pages of private anonymous memory: their contents travel by
  // migration/memory/.
  bool memory_apart = false;
};

struct DumpReport {
  std::uint64_t bytes = 0;
  Micros took{0};
};

struct RestoreRequest {
  std::string image_dir;
  std::string work_dir;  // logs and what prepare() left there; on tmpfs
  std::string root;      // the container's root: a mount point
  std::string netns_path;
  std::vector<std::string> cgroup_procs_files;  // the restored tree is born in these cgroups
  std::vector<ExternalMount> external_mounts;
  // The pages are asked for at work_dir/lazy-pages.socket (memory/page_daemon.h).
  bool memory_apart = false;
  // Connected TCP sockets come back closed: the original goes on with them.
  bool close_connections = false;
  Millis timeout{30'000};
};

// A tree that is restored in full and has not run one instruction of its own. Destroying the object
// without release() kills the tree.
class HeldRestore {
 public:
  virtual ~HeldRestore() = default;
  virtual int init_pid() const = 0;
  // Lets it run; returns when it does. Errors: kIo: it did not come to life, and is dead.
  virtual Task<Status> release() = 0;
  // Kills it. Returns when the restorer has ended.
  virtual Task<void> abort() = 0;
};

// A restore that waits for its images. Destroying the object ends it.
class PreparedRestore {
 public:
  virtual ~PreparedRestore() = default;
  // The images are in their directory. Once. Errors: kIo with the error lines; kTimeout;
  // kCancelled. On error the restorer has ended; what it had made of the tree may wait in the
  // cgroups for ever, to be killed there.
  virtual Task<Result<std::unique_ptr<HeldRestore>>> restore() = 0;
  // It is no longer wanted: a restore() that is under way ends with kCancelled, a later one too.
  virtual void give_up() = 0;
};

class Checkpointer {
 public:
  virtual ~Checkpointer() = default;
  // Whether dump() and restore() can do without the contents of the memory here. Errors:
  // kUnavailable, with the reason.
  virtual Task<Status> memory_can_travel_apart() = 0;
  // Whether a dump works for processes that are not root's. False where CAP_SYS_RESOURCE is missing
  // and CRIU lacks foreign-limits.patch.
  virtual Task<bool> carries_other_users() = 0;
  // What can be found out while the service still runs; it is left in `work_dir`, on tmpfs. Errors:
  // kIo: neither dump() nor restore() would work here.
  virtual Task<Status> prepare(std::string work_dir) = 0;
  // Dumps and leaves the tree frozen, so that a roll-back is a thaw. Errors: kIo with the
  // checkpointer's own error lines; kTimeout. On error the tree is frozen and intact as well.
  virtual Task<Result<DumpReport>> dump(DumpRequest request) = 0;
  // Everything of a restore that can be done while the service still runs elsewhere; cgroups and
  // network namespace exist. Errors: kIo.
  virtual Task<Result<std::unique_ptr<PreparedRestore>>> prepare_restore(
      RestoreRequest request) = 0;
};

}  // namespace icon::migration
