// The agent as a whole: carries out what the lifecycle decides, and tells it what happened. All
// sockets, timers and processes hang off this object; the rules are in lifecycle, decide, budget.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/identity.h"
#include "agent/init.h"
#include "agent/latency_monitor.h"
#include "agent/latency_table.h"
#include "agent/lifecycle.h"
#include "agent/policy.h"
#include "agent/rounds.h"
#include "agent/supervisor_link.h"
#include "agent/task_group.h"
#include "agent/timers.h"
#include "base/clock.h"
#include "base/keys.h"

namespace icon::agent {

struct AgentOptions {
  std::vector<std::string> command;
  std::string run_dir;
  // A run directory with a log folder is there: somebody supervises us.
  bool supervised = false;
  Policy policy;
  Identity identity;
  Millis stop_grace{0};  // 0: the runtime's own limit counts
};

// One per process. Loop thread. Lives until the loop has ended.
class Agent {
 public:
  Agent(IoContext& loop, const Clock& clock, AgentOptions options);

  // Starts the service and everything else. The loop runs until the service has ended.
  void start();
  int exit_code() const { return exit_code_; }

 private:
  void feed(const Event& event);
  void perform(const Action& action);

  void start_service();
  void close_descriptors(const std::string& migration);
  void reconnect();
  Task<void> supervisor_session();
  bool on_supervisor_event(const SupervisorEvent& event);
  void take_over(Self self);
  Task<void> learn_identity(const Self& self);
  void watch_ports();
  void woken();
  void signalled(int number);
  void arm_stop_timer();
  void leave(int code);

  void report_status();
  Task<void> send_status();
  void report_periodically();
  void limit_logs();

  IoContext& loop_;
  const Clock& clock_;
  AgentOptions options_;
  Lifecycle lifecycle_;
  Init init_;
  Timers timers_;
  TaskGroup work_;     // rounds, orders, reports
  TaskGroup session_;  // the connection to the supervisor: closed last
  SupervisorLink link_;
  LatencyTable table_;
  LatencyMonitor monitor_;
  Rounds rounds_;
  boost::asio::steady_timer report_timer_;
  boost::asio::steady_timer stop_timer_;

  std::optional<Self> self_;
  std::vector<std::uint16_t> watched_ports_;
  bool watching_ = false;
  bool reporting_ = false;
  bool report_again_ = false;
  int reports_ = 0;  // since the last tick, while others decide
  bool stopping_ = false;
  bool forget_key_ = false;  // with the descriptors: a copy is made
  bool unreseeded_ = false;  // a clone, and nobody was there to be told so
  bool closing_ = false;     // for the freeze, until the wake
  int exit_code_ = 0;
};

}  // namespace icon::agent
