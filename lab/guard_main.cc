// icon-lab-guard LAB FD: waits until FD, the reading end of its owner's pipe, says how the owner
// ended. A byte: all is taken down already. The end of file: it died; take the lab down.
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>

#include "base/fd.h"
#include "lab/lab.h"

int main(int argc, char** argv) {
  int fd = -1;
  if (argc != 3 || !icon::lab::check_lab_name(argv[1]) ||
      std::from_chars(argv[2], argv[2] + std::strlen(argv[2]), fd).ec != std::errc())
    return std::fputs("usage: icon-lab-guard LAB FD\n", stderr), 2;
  // What ends the owner must not end the one who cleans up after it.
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE}) signal(number, SIG_IGN);
  const icon::UniqueFd owner(fd);
  char byte = 0;
  ssize_t count = 0;
  do {
    count = read(owner.get(), &byte, 1);
  } while (count < 0 && errno == EINTR);
  if (count > 0) return 0;
  const auto status = icon::lab::Lab::down(argv[1]);
  if (status) return 0;
  std::fprintf(stderr, "icon-lab-guard: lab %s: %s\n", argv[1], status.error().message.c_str());
  return 1;
}
