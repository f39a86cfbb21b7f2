#include "supervisor/tunnel/tun.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

namespace icon::tunnel {

Result<UniqueFd> open_tun(const std::string& name, bool persistent) {
  if (name.empty() || name.size() >= IFNAMSIZ)
    return fail(Code::kInvalid, "interface name '" + name + "' is empty or too long");
  UniqueFd fd(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
    return fail(Code::kUnavailable, "no /dev/net/tun: load the kernel's tun module");
  if (!fd) return fail_errno("open /dev/net/tun");
  ifreq request{};
  std::memcpy(request.ifr_name, name.data(), name.size());
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (ioctl(fd.get(), TUNSETIFF, &request) != 0) {
    if (errno == EBUSY) return fail(Code::kConflict, "interface " + name + " is in use");
    return fail_errno("create interface " + name);
  }
  if (persistent && ioctl(fd.get(), TUNSETPERSIST, 1) != 0)
    return fail_errno("keep interface " + name);
  return fd;
}

Status drop_persistence(const UniqueFd& tun) {
  if (ioctl(tun.get(), TUNSETPERSIST, 0) != 0) return fail_errno("let an interface go");
  return {};
}

}  // namespace icon::tunnel
