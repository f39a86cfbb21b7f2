// CRIU's post-restore action: says that the tree stands, then waits for "go". Any other end makes
// CRIU kill what it restored. Small and static: it starts inside the gap.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: icon-criu-hold SOCKET (run by criu, not by people)\n");
    return 2;
  }
  const char* pid = std::getenv("CRTOOLS_INIT_PID");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (pid == nullptr || std::strlen(argv[1]) >= sizeof address.sun_path) return 1;
  std::strcpy(address.sun_path, argv[1]);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return 1;
  char line[32];
  const int size = std::snprintf(line, sizeof line, "held %s\n", pid);
  if (write(fd, line, static_cast<std::size_t>(size)) != size) return 1;
  char answer[3];
  const ssize_t count = recv(fd, answer, sizeof answer, MSG_WAITALL);
  return count == 3 && std::memcmp(answer, "go\n", 3) == 0 ? 0 : 1;
}
