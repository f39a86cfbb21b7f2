// Puts a child process into a node between fork and exec.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace icon::lab {

// For before_exec of base/subprocess.h: the child enters the network namespace, nothing else.
// Errors: kNotFound.
Result<std::function<int()>> entry_into(const std::string& netns);

// The same, and a mount namespace of the child's own in which `resolv_conf` lies over
// /etc/resolv.conf. `hidden` mounts and the named network namespaces are let go there: a program
// that lives long must not keep alive what the machine has long unmounted. Errors: kNotFound.
Result<std::function<int()>> private_entry_into(const std::string& netns,
                                                const std::string& resolv_conf,
                                                std::vector<std::string> hidden);

}  // namespace icon::lab
