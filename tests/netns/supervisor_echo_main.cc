// The service in the supervisor's tests: one static program for an otherwise empty root.
//   icon-core-echo echo PORT   answers what it is told over TCP; SIGTERM ends it with status 7
//   icon-core-echo exit N      says so and ends
//   icon-core-echo exec N      starts N threads and becomes itself again, all the time
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

namespace {

int echo(int port) {
  signal(SIGTERM, [](int) { _exit(7); });
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener, 16) != 0)
    return 3;
  std::printf("listening on %d\n", port);
  std::fflush(stdout);
  std::vector<pollfd> fds{{listener, POLLIN, 0}};
  for (;;) {
    poll(fds.data(), fds.size(), -1);
    if ((fds[0].revents & POLLIN) != 0)
      fds.push_back({accept(listener, nullptr, nullptr), POLLIN, 0});
    for (std::size_t i = 1; i < fds.size();) {
      if (fds[i].revents == 0) {
        ++i;
        continue;
      }
      char text[512];
      const ssize_t count = read(fds[i].fd, text, sizeof text);
      if (count > 0 && write(fds[i].fd, text, static_cast<std::size_t>(count)) == count) {
        fds[i++].revents = 0;
        continue;
      }
      close(fds[i].fd);
      fds.erase(fds.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
}

int exec_again(char** argv) {
  for (int i = 0; i < std::atoi(argv[2]); ++i) std::thread([] { pause(); }).detach();
  execv("/proc/self/exe", argv);
  return 4;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "echo") == 0) return echo(std::atoi(argv[2]));
  if (argc == 3 && std::strcmp(argv[1], "exit") == 0) {
    std::printf("ending with %s\n", argv[2]);
    return std::atoi(argv[2]);
  }
  if (argc == 3 && std::strcmp(argv[1], "exec") == 0) return exec_again(argv);
  return 2;
}
