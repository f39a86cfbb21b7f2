// The lifecycle's timers. A frozen process may wake on a machine whose steady clock shows another
// time: ordinary timers are all cancelled before the freeze, and the one that waits through it
// rests on a timerfd with a relative interval, which a checkpoint carries as such.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <map>

#include "agent/lifecycle.h"
#include "base/clock.h"
#include "base/task.h"

namespace icon::agent {

// Owner: the agent. Loop thread.
class Timers {
 public:
  Timers(IoContext& loop, std::function<void(Timer)> fired)
      : loop_(loop), fired_(std::move(fired)), wake_(loop) {}

  // Replaces one that runs.
  void set(Timer timer, Millis delay);
  void cancel(Timer timer);
  void cancel_all();

 private:
  struct Slot {
    explicit Slot(IoContext& loop) : timer(loop) {}
    boost::asio::steady_timer timer;
    std::uint64_t setting = 0;
  };
  void set_wake(Millis delay);
  void wait_for_wake();

  IoContext& loop_;
  std::function<void(Timer)> fired_;
  std::map<Timer, Slot> timers_;
  std::uint64_t settings_ = 0;
  boost::asio::posix::stream_descriptor wake_;
};

}  // namespace icon::agent
