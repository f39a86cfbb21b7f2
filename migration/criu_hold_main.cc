// Two small things around CRIU's restore, inside the gap: hence static.
//
// `icon-criu-hold exec PROGRAM ARGS..` waits for a byte on its standard input and becomes PROGRAM:
// a process that stands in its cgroups before there is anything to restore.
//
// Otherwise it is CRIU's action script. At post-restore it says that the tree stands, then waits
// for "go"; any other end makes CRIU kill what it restored. CRIU runs it for each of its actions;
// there is nothing to do for the others.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

int wait_and_exec(char** argv) {
  char byte = 0;
  if (read(STDIN_FILENO, &byte, 1) != 1) return 1;  // it is no longer wanted
  const int null = open("/dev/null", O_RDONLY);
  if (null < 0 || dup2(null, STDIN_FILENO) < 0) return 1;
  close(null);
  execvp(argv[0], argv);
  std::perror(argv[0]);
  return 127;
}

}  // namespace

int main(int argc, char** arguments) {
  if (argc > 2 && std::strcmp(arguments[1], "exec") == 0) return wait_and_exec(arguments + 2);
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
