// icon-lab-relay START_FILE READY_FD: carries a lab's links until SIGTERM. Writes "ok" or the
// error's text to READY_FD and closes it.
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstring>

#include "base/fd.h"
#include "base/file.h"
#include "lab/relay.h"

namespace {

using icon::lab::Relay;
using icon::lab::RelayStart;

constexpr int kRealTimePriority = 10;

icon::Result<std::unique_ptr<Relay>> make_relay(const char* start_file) {
  ICON_TRY(std::string text, icon::read_file(start_file, icon::lab::kRelayStartBytesMax));
  ICON_TRY(RelayStart start, RelayStart::from_text(text));
  return Relay::create(start);
}

}  // namespace

int main(int argc, char** argv) {
  int ready = -1;
  if (argc != 3 ||
      std::from_chars(argv[2], argv[2] + std::strlen(argv[2]), ready).ec != std::errc())
    return std::fputs("usage: icon-lab-relay START_FILE READY_FD\n", stderr), 2;
  icon::UniqueFd ready_fd(ready);
  // Without the right to it the delays are a little less exact; that is all.
  prctl(PR_SET_TIMERSLACK, 1);
  const sched_param priority{.sched_priority = kRealTimePriority};
  (void)sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &priority);
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigprocmask(SIG_BLOCK, &ends, nullptr);
  signal(SIGINT, SIG_IGN);  // ctrl-C at the owner's terminal: the teardown decides
  signal(SIGPIPE, SIG_IGN);
  const icon::UniqueFd stop(signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK));
  auto relay = make_relay(argv[1]);
  const std::string report = relay ? "ok" : relay.error().message;
  if (write(ready_fd.get(), report.data(), report.size()) < 0) return 1;
  ready_fd.reset();
  if (!relay) return 1;
  const auto ended = (*relay)->run(stop.get());
  if (!ended) std::fprintf(stderr, "icon-lab-relay: %s\n", ended.error().message.c_str());
  return ended ? 0 : 1;
}
