#include "lab/node_entry.h"

#include <sched.h>
#include <sys/mount.h>

#include <filesystem>
#include <memory>

#include "base/fd.h"
#include "base/netns.h"

namespace icon::lab {

// What these return runs after fork: system calls only.

Result<std::function<int()>> entry_into(const std::string& netns) {
  ICON_TRY(UniqueFd fd, open_netns(netns));
  const auto shared_fd = std::make_shared<UniqueFd>(std::move(fd));
  return std::function<int()>([shared_fd]() { return setns(shared_fd->get(), CLONE_NEWNET); });
}

Result<std::function<int()>> private_entry_into(const std::string& netns,
                                                const std::string& resolv_conf,
                                                std::vector<std::string> hidden) {
  ICON_TRY(auto enter, entry_into(netns));
  // It is a symbolic link on many systems; a mount goes over what it leads to.
  std::error_code error;
  std::string target = std::filesystem::canonical("/etc/resolv.conf", error);
  if (error)
    return fail(Code::kNotFound, "/etc/resolv.conf: " + error.message() +
                                     "; an empty file is enough for the lab to put its own there");
  return std::function<int()>([enter, resolv_conf, target, hidden = std::move(hidden)]() {
    if (enter() != 0 || unshare(CLONE_NEWNS) != 0) return -1;
    if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return -1;
    if (mount(resolv_conf.c_str(), target.c_str(), nullptr, MS_BIND, nullptr) != 0) return -1;
    while (umount2("/run/netns", MNT_DETACH) == 0) {
    }
    for (const auto& path : hidden) umount2(path.c_str(), MNT_DETACH);
    return 0;
  });
}

}  // namespace icon::lab
