#include "base/socket_path.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <utility>

namespace icon {

Result<SocketPath> SocketPath::of(const std::string& path) {
  if (path.size() < sizeof(sockaddr_un::sun_path)) return SocketPath{UniqueFd(), path};
  const auto slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  UniqueFd fd(open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return fail_errno("socket directory " + folder);
  std::string text = "/proc/self/fd/" + std::to_string(fd.get()) + "/" + name;
  if (text.size() >= sizeof(sockaddr_un::sun_path))
    return fail(Code::kInvalid, "socket name too long: " + name);
  return SocketPath{std::move(fd), std::move(text)};
}

sockaddr_un SocketPath::address() const {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  text.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

}  // namespace icon
