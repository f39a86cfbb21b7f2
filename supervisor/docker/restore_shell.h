// icon-runc's `create` for an ICON that arrives from another host. runc makes the place (cgroup,
// its own records) with a program that never runs; then this waits, below Docker's shim, until the
// supervisor starts CRIU (restore_launcher.h). The restored tree becomes the shim's child and takes
// the place in runc's records. All but CRIU itself is done before the service freezes.
#pragma once

#include <string>

#include "supervisor/docker/oci_arguments.h"
#include "supervisor/docker/shell_order.h"

namespace icon::supervisor {

// Blocking, until the tree runs or has failed. Returns PID 1. Errors: runc's and CRIU's; kCancelled
// when the supervisor gave up. Then nothing is left but what `runc delete` removes.
Result<int> create_by_restore(const std::string& icon_directory, const ShellOrder& order,
                              OciArguments arguments);

}  // namespace icon::supervisor
