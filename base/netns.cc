#include "base/netns.h"

#include <fcntl.h>
#include <sched.h>

#include "base/assert.h"

namespace icon {

Result<UniqueFd> open_netns(const std::string& name_or_path) {
  const std::string path =
      name_or_path.find('/') == std::string::npos ? "/run/netns/" + name_or_path : name_or_path;
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno("network namespace " + path);
  return fd;
}

Status in_netns(const UniqueFd& netns, const std::function<Status()>& work) {
  UniqueFd home(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!home) return fail_errno("open /proc/thread-self/ns/net");
  if (setns(netns.get(), CLONE_NEWNET) != 0) return fail_errno("enter network namespace");
  auto status = work();
  ICON_ASSERT(setns(home.get(), CLONE_NEWNET) == 0);
  return status;
}

}  // namespace icon
