#include "agent/init.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <utility>

namespace icon::agent {
namespace {

constexpr std::array kPassedOn{SIGTERM, SIGINT,  SIGQUIT, SIGHUP,  SIGUSR2,
                               SIGALRM, SIGCONT, SIGTSTP, SIGWINCH};

}  // namespace

int shell_status(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

Init::Init(IoContext& loop, Handlers handlers)
    : handlers_(std::move(handlers)), signals_(loop, SIGCHLD, SIGUSR1) {
  for (const int number : kPassedOn) signals_.add(number);
  signal(SIGPIPE, SIG_IGN);
  wait_for_signal();
}

Status Init::start(const std::vector<std::string>& argv, const ServiceStreams& streams,
                   bool own_session) {
  ICON_TRY(service_pid_, start_service(argv, streams, own_session));
  return {};
}

void Init::forward(int number) {
  if (service_pid_ > 0) kill(service_pid_, number);
}

void Init::kill_all() {
  // Outside a PID namespace, -1 would be everybody of this user.
  if (getpid() == 1) kill(-1, SIGKILL);
  if (service_pid_ > 0) kill(-service_pid_, SIGKILL);
}

void Init::wait_for_signal() {
  signals_.async_wait([this](boost::system::error_code error, int number) {
    if (error) return;
    wait_for_signal();
    if (number == SIGCHLD)
      reap();
    else if (number == SIGUSR1)
      handlers_.woken();
    else
      handlers_.signal(number);
  });
}

void Init::reap() {
  int status = 0;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    if (pid != service_pid_) continue;
    service_pid_ = -1;
    handlers_.service_exited(shell_status(status));
  }
}

}  // namespace icon::agent
