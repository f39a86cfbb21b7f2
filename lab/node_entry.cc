#include "lab/node_entry.h"

#include <sched.h>
#include <sys/mount.h>

#include <filesystem>
#include <memory>

#include "base/fd.h"
#include "base/netns.h"

namespace icon::lab {

Result<std::function<int()>> entry_into(const std::string& netns, const std::string& resolv_conf) {
  ICON_TRY(UniqueFd fd, open_netns(netns));
  const auto shared_fd = std::make_shared<UniqueFd>(std::move(fd));
  // It is a symbolic link on many systems; a mount goes over what it leads to.
  std::error_code error;
  std::string target = std::filesystem::canonical("/etc/resolv.conf", error);
  if (error && !resolv_conf.empty())
    return fail(Code::kNotFound, "/etc/resolv.conf: " + error.message() +
                                     "; an empty file is enough for the lab to put its own there");
  // System calls only: this runs after fork.
  return std::function<int()>([shared_fd, resolv_conf, target]() {
    if (setns(shared_fd->get(), CLONE_NEWNET) != 0) return -1;
    if (resolv_conf.empty()) return 0;
    if (unshare(CLONE_NEWNS) != 0) return -1;
    if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return -1;
    return mount(resolv_conf.c_str(), target.c_str(), nullptr, MS_BIND, nullptr);
  });
}

}  // namespace icon::lab
