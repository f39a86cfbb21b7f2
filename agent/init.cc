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

Result<pid_t> Init::run(const std::vector<std::string>& argv,
                        std::function<void(int status)> on_exit) {
  ICON_TRY(const pid_t pid, start_service(argv, {}, true));
  commands_[pid] = std::move(on_exit);
  return pid;
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
    if (auto command = commands_.extract(pid)) command.mapped()(shell_status(status));
    if (pid != service_pid_) continue;
    service_pid_ = -1;
    handlers_.service_exited(shell_status(status));
  }
}

}  // namespace icon::agent
