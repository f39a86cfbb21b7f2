// CRIU below somebody else. A restored tree becomes the child of whoever started CRIU; Docker's
// shim must be that one, or it never learns of the tree's end. So the supervisor starts this
// program, and it hands CRIU's command line, its standard input and its network namespace to the
// icon-runc that waits below the shim; it stays as long as that CRIU and ends with its status.
// Killed, it takes CRIU with it. All of that is before the freeze: CRIU's own start then needs a
// byte on the input.
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace icon::supervisor {

// At the supervisor's side, blocking: the exit status of `command`.
int launch_restore(const std::string& icon_directory, const std::vector<std::string>& command);

// The same as icon-runc sees it.
struct RestoreCall {
  UniqueFd launcher;  // closed: the caller has gone
  UniqueFd input;     // the command's standard input
  UniqueFd netns;     // where it runs
  std::vector<std::string> command;
  std::string hold_socket;  // ICON_HOLD_SOCKET
};
// Accepts one call on a listening socket. Errors: kInvalid, kIo.
Result<RestoreCall> accept_restore_call(int listening_fd);
// The command's end, told to the caller.
void answer_restore_call(const RestoreCall& call, int exit_status);

// Sockets of the file system; `type` as for socket(2). Errors: kIo, kInvalid.
Result<UniqueFd> listen_unix(const std::string& path, int type);
Result<UniqueFd> connect_unix(const std::string& path, int type);

}  // namespace icon::supervisor
