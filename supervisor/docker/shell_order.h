// What the supervisor leaves beside an ICON's bundle for icon-runc, which Docker calls to make the
// container: `docker.json`. Its presence says that Docker owns the container.
//
//   <state_dir>/icons/<id>/docker.json
//                         /bundle/        what a new container is made from, instead of Docker's
//                         own /shell/         the same with a program that never runs: a restore's
//                         place /shell.sock     the supervisor listens: icon-runc says "ready" here
//                         /restore.sock   icon-runc listens: the supervisor's CRIU is started by it
//                         /icon-restore   link to icon-runc: asks it for that (restore_launcher.h)
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace icon::supervisor {

struct ShellOrder {
  std::string container;  // Docker's id
  bool restore = false;   // wait for a restore; else start what the bundle says
  std::string runc = "runc";
  std::string rootfs;                           // as the container will see it
  std::vector<std::string> cgroup_procs_files;  // a restored tree is born in these

  // Errors: kNotFound (Docker does not own this one), kInvalid, kIo.
  static Result<ShellOrder> read(const std::string& icon_directory);
  Status write(const std::string& icon_directory) const;
};

// An order is good for one start: false when it was taken before. Errors: kIo.
Result<bool> take_order(const std::string& icon_directory);

inline constexpr const char* kShellOrderFile = "/docker.json";
inline constexpr const char* kShellSocket = "/shell.sock";
inline constexpr const char* kRestoreSocket = "/restore.sock";
inline constexpr const char* kLauncherLink = "/icon-restore";
inline constexpr const char* kShellBundle = "/shell";
inline constexpr const char* kReadyLine = "ready\n";

}  // namespace icon::supervisor
