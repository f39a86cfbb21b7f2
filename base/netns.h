// Network namespaces: run a short piece of code in another one. The calling thread changes
// namespace for the duration, so nothing in between may suspend.
#pragma once

#include <functional>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace icon {

// Opens /run/netns/NAME, or the path itself when it holds a '/'. Errors: kNotFound, kRefused.
Result<UniqueFd> open_netns(const std::string& name_or_path);
// Runs `work` inside the namespace and comes back. Errors: kRefused, kIo; else what `work` returns.
Status in_netns(const UniqueFd& netns, const std::function<Status()>& work);

}  // namespace icon
