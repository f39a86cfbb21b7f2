// Puts a child process into a node between fork and exec.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"

namespace icon::lab {

// For before_exec of base/subprocess.h. `resolv_conf`: bound over /etc/resolv.conf in a mount
// namespace of the child's own; "" leaves mounts alone. Errors: kNotFound (namespace).
Result<std::function<int()>> entry_into(const std::string& netns, const std::string& resolv_conf);

}  // namespace icon::lab
