// CRIU's action script. At post-restore it says that the tree stands, then waits for "go"; any
// other end makes CRIU kill what it restored. CRIU runs it for each of its actions, inside the gap:
// hence small and static, and nothing to do for the others.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

int main() {
  const char* action = std::getenv("CRTOOLS_SCRIPT_ACTION");
  const char* path = std::getenv("ICON_HOLD_SOCKET");
  if (action == nullptr || path == nullptr) {
    std::fprintf(stderr, "icon-criu-hold is run by criu, for icon-supervisor\n");
    return 2;
  }
  if (std::strcmp(action, "post-restore") != 0) return 0;
  const char* pid = std::getenv("CRTOOLS_INIT_PID");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (pid == nullptr || std::strlen(path) >= sizeof address.sun_path) return 1;
  std::strcpy(address.sun_path, path);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return 1;
  char line[32];
  const int size = std::snprintf(line, sizeof line, "held %s\n", pid);
  if (write(fd, line, static_cast<std::size_t>(size)) != size) return 1;
  char answer[3];
  const ssize_t count = recv(fd, answer, sizeof answer, MSG_WAITALL);
  return count == 3 && std::memcmp(answer, "go\n", 3) == 0 ? 0 : 1;
}
