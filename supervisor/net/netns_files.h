// Named network namespaces, as `ip netns` has them: a bind mount under /run/netns.
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace icon::net {

// Opens the namespace, making it first when there is none. The calling thread is in the new one for
// a moment. Errors: kRefused, kIo.
Result<UniqueFd> ensure_netns(const std::string& name);
// Unmounts and unlinks; the namespace itself lives while processes are in it. No error when absent.
Status remove_netns(const std::string& name);
std::vector<std::string> list_netns(const std::string& prefix);

}  // namespace icon::net
