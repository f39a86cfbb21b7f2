// Coroutines that are under way, so that they can all be ended: nothing may be open when the
// process is frozen.
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <functional>
#include <list>
#include <memory>
#include <string>

#include "base/task.h"

namespace icon::agent {

// Owner: the agent. Loop thread. Must outlive the loop's last handler.
class TaskGroup {
 public:
  explicit TaskGroup(IoContext& loop) : loop_(loop) {}

  // Starts `task` soon. An exception other than a cancellation is a bug: it is logged with `name`.
  void spawn(std::string name, Task<void> task);
  // Asks every task to end at its next wait; they are gone when `idle` has been called.
  void cancel();
  bool empty() const { return running_.empty(); }
  // Calls `idle` once nothing runs any more; at once when that is so already.
  void when_empty(std::function<void()> idle);

 private:
  using Signals = std::list<std::unique_ptr<boost::asio::cancellation_signal>>;
  void ended(Signals::iterator task, const std::string& name, std::exception_ptr exception);

  IoContext& loop_;
  Signals running_;
  std::function<void()> idle_;
};

}  // namespace icon::agent
