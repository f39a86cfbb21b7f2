// What PID 1 owes a container: signals are passed on, every orphan is reaped, the service's exit
// code becomes ours.
#pragma once

#include <sys/types.h>

#include <boost/asio/signal_set.hpp>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agent/service.h"
#include "base/result.h"
#include "base/task.h"

namespace icon::agent {

// Owner: the agent. Loop thread. Its only descriptors are the two ends of the signal pipe, which a
// checkpoint can carry.
class Init {
 public:
  struct Handlers {
    std::function<void(int status)> service_exited;  // as a shell has it: 128 + signal
    std::function<void(int number)> signal;          // to be passed on, or to stop
    std::function<void()> woken;                     // SIGUSR1
  };

  // Signals are caught from here on, so that none is lost before the service runs.
  Init(IoContext& loop, Handlers handlers);

  // Errors: as start_service. Signals that arrived before are for the caller to deliver.
  Status start(const std::vector<std::string>& argv, const ServiceStreams& streams,
               bool own_session);
  // A command beside the service, with its streams where ours are; `on_exit` gets its status as a
  // shell has it. Errors: as start_service.
  Result<pid_t> run(const std::vector<std::string>& argv, std::function<void(int status)> on_exit);
  // To the service alone, as a container runtime would do without us.
  void forward(int number);
  // SIGKILL to the service and, as PID 1, to everything else in the container.
  void kill_all();
  pid_t service_pid() const { return service_pid_; }

 private:
  void wait_for_signal();
  void reap();

  Handlers handlers_;
  boost::asio::signal_set signals_;
  pid_t service_pid_ = -1;
  std::map<pid_t, std::function<void(int status)>> commands_;
};

// 128 + signal, or the exit code.
int shell_status(int wait_status);

}  // namespace icon::agent
