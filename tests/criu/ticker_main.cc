// The service of the checkpoint tests: counts in memory and writes the count to /run/icon/ticks as
// fast as a reader could want. Static, so that its root directory needs nothing else.
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>

int main() {
  const int fd = open("/run/icon/ticks", O_RDWR | O_CREAT, 0600);
  if (fd < 0) return 1;
  for (unsigned long count = 1;; ++count) {
    char text[32];
    const int size = std::snprintf(text, sizeof text, "%020lu\n", count);
    if (pwrite(fd, text, static_cast<size_t>(size), 0) != size) return 1;
    const timespec pause{0, 2'000'000};
    nanosleep(&pause, nullptr);
  }
}
