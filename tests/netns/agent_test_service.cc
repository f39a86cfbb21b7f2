// The service in the agent's tests: one static program, so that an image with it and the agent and
// nothing else will do. The first argument says what it does.
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

namespace {

volatile sig_atomic_t last_signal = 0;

void remember(int number) { last_signal = number; }

void nap() {
  const timespec pause{0, 2'000'000};
  nanosleep(&pause, nullptr);
}

// Prints "ready", then each signal by number; SIGTERM ends it with 42.
int report_signals() {
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH})
    signal(number, remember);
  std::printf("ready\n");
  std::fflush(stdout);
  for (;;) {
    nap();
    const int number = last_signal;
    if (number == 0) continue;
    last_signal = 0;
    std::printf("signal %d\n", number);
    std::fflush(stdout);
    if (number == SIGTERM) return 42;
  }
}

int zombies() {
  int count = 0;
  for (int pid = 1; pid < 200; ++pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string line;
    if (!std::getline(file, line)) continue;
    const auto end = line.rfind(')');
    if (end != std::string::npos && end + 2 < line.size() && line[end + 2] == 'Z') ++count;
  }
  return count;
}

int processes() {
  int count = 0;
  for (int pid = 1; pid < 200; ++pid)
    if (access(("/proc/" + std::to_string(pid)).c_str(), F_OK) == 0) ++count;
  return count;
}

// Leaves orphans behind that end at once; 0 when PID 1 has reaped them all.
int make_orphans() {
  for (int i = 0; i < 20; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      if (fork() == 0) _exit(3);
      _exit(0);
    }
    waitpid(child, nullptr, 0);
  }
  for (int tries = 0; tries < 2500; ++tries) {
    if (zombies() == 0 && processes() == 2) return 0;
    nap();
  }
  return 1;
}

// What the streams look like from inside.
int show_streams() {
  for (int fd = 0; fd < 64; ++fd) {
    char target[256] = {};
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    if (readlink(link.c_str(), target, sizeof target - 1) > 0)
      std::printf("fd %d %s\n", fd, target);
  }
  return 0;
}

int show_ignored_signals() {
  struct sigaction action {};
  for (int number = 1; number < 32; ++number)
    if (sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN)
      std::printf("ignored %d\n", number);
  sigset_t blocked;
  sigprocmask(SIG_BLOCK, nullptr, &blocked);
  for (int number = 1; number < 32; ++number)
    if (sigismember(&blocked, number) == 1) std::printf("blocked %d\n", number);
  std::printf("pid %d group %d\n", getpid(), getpgrp());
  return 0;
}

// Counts up in a file, so that a test sees it live, stop and live on.
int count_up(const char* path) {
  for (long counter = 0;; ++counter) {
    if (counter % 50 == 0) {
      const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
      const std::string text = std::to_string(counter) + "\n";
      if (write(fd, text.data(), text.size()) < 0) return 1;
      close(fd);
    }
    nap();
  }
}

// Sends every byte back, to up to 64 users at once.
int echo(int port) {
  const int listener = socket(AF_INET6, SOCK_STREAM, 0);
  const int yes = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(static_cast<uint16_t>(port));
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener, 64) != 0)
    return 1;
  std::vector<pollfd> all{{listener, POLLIN, 0}};
  for (;;) {
    if (poll(all.data(), all.size(), -1) < 0) return 1;
    for (std::size_t i = all.size(); i-- > 1;) {
      if (all[i].revents == 0) continue;
      char bytes[4096];
      const ssize_t count = read(all[i].fd, bytes, sizeof bytes);
      if (count > 0 && write(all[i].fd, bytes, static_cast<std::size_t>(count)) == count) continue;
      close(all[i].fd);
      all.erase(all.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (all[0].revents != 0 && all.size() < 65) {
      const int fd = accept(listener, nullptr, nullptr);
      if (fd >= 0) all.push_back({fd, POLLIN, 0});
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "exit") return argc > 2 ? std::atoi(argv[2]) : 0;
  if (what == "abort") {
    signal(SIGKILL, SIG_DFL);
    kill(getpid(), SIGKILL);
  }
  if (what == "print") std::printf("%s\n", argc > 2 ? argv[2] : "");
  if (what == "signals") return report_signals();
  if (what == "orphans") return make_orphans();
  if (what == "streams") return show_streams();
  if (what == "dispositions") return show_ignored_signals();
  if (what == "count" && argc > 2) return count_up(argv[2]);
  if (what == "echo" && argc > 2) return echo(std::atoi(argv[2]));
  if (what == "stubborn") {
    signal(SIGTERM, SIG_IGN);
    std::printf("ready\n");
    std::fflush(stdout);
    for (;;) nap();
  }
  return 0;
}
