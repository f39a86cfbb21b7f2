#include "agent/timers.h"

#include <sys/timerfd.h>

#include <boost/system/error_code.hpp>

#include "base/fd.h"
#include "base/log.h"
#include "base/result.h"

namespace icon::agent {

namespace asio = boost::asio;

void Timers::set(Timer timer, Millis delay) {
  if (timer == Timer::kWake) {
    set_wake(delay);
    return;
  }
  auto& slot = timers_.try_emplace(timer, loop_).first->second;
  slot.setting = ++settings_;
  slot.timer.expires_after(delay);
  slot.timer.async_wait([this, timer, setting = settings_](boost::system::error_code error) {
    if (error) return;
    // One that expired just before it was cancelled or set anew does not count.
    const auto found = timers_.find(timer);
    if (found == timers_.end() || found->second.setting != setting) return;
    timers_.erase(found);
    fired_(timer);
  });
}

void Timers::cancel(Timer timer) {
  if (timer == Timer::kWake) {
    boost::system::error_code ignored;
    wake_.close(ignored);
    return;
  }
  timers_.erase(timer);
}

void Timers::cancel_all() {
  timers_.clear();
  cancel(Timer::kWake);
}

void Timers::set_wake(Millis delay) {
  cancel(Timer::kWake);
  UniqueFd fd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  itimerspec spec{};
  spec.it_value.tv_sec = delay.count() / 1000;
  spec.it_value.tv_nsec = delay.count() % 1000 * 1'000'000 + 1;
  if (!fd || timerfd_settime(fd.get(), 0, &spec, nullptr) != 0) {
    log::error("agent.wake_timer_failed", {{"message", fail_errno("timerfd").value().message}});
    return;
  }
  wake_.assign(fd.release());
  wait_for_wake();
}

void Timers::wait_for_wake() {
  wake_.async_wait(asio::posix::descriptor_base::wait_read,
                   [this](boost::system::error_code error) {
                     if (error) return;
                     std::uint64_t expirations = 0;
                     const int fd = wake_.is_open() ? wake_.native_handle() : -1;
                     if (fd < 0 || ::read(fd, &expirations, sizeof expirations) < 0) return;
                     cancel(Timer::kWake);
                     fired_(Timer::kWake);
                   });
}

}  // namespace icon::agent
