#include "agent/task_group.h"

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>
#include <exception>
#include <utility>

#include "base/log.h"

namespace icon::agent {

namespace asio = boost::asio;

void TaskGroup::spawn(std::string name, Task<void> task) {
  const auto signal =
      running_.insert(running_.end(), std::make_unique<asio::cancellation_signal>());
  asio::co_spawn(
      loop_, std::move(task),
      asio::bind_cancellation_slot(
          (*signal)->slot(), [this, signal, name = std::move(name)](std::exception_ptr exception) {
            ended(signal, name, std::move(exception));
          }));
}

void TaskGroup::cancel() {
  // A task that ends at once takes itself off the list: walk over a copy of the pointers.
  std::list<asio::cancellation_signal*> signals;
  for (const auto& signal : running_) signals.push_back(signal.get());
  for (auto* signal : signals) {
    const bool still_there = std::any_of(running_.begin(), running_.end(),
                                         [&](const auto& one) { return one.get() == signal; });
    if (still_there) signal->emit(asio::cancellation_type::terminal);
  }
}

void TaskGroup::ended(Signals::iterator task, const std::string& name,
                      std::exception_ptr exception) {
  // The signal must outlive the coroutine by a turn of the loop: a cancellation from outside the
  // loop is a queued handler that points into it.
  asio::post(loop_, [keep = std::shared_ptr(std::move(*task))] {});
  running_.erase(task);
  try {
    if (exception) std::rethrow_exception(exception);
  } catch (const boost::system::system_error& error) {
    if (error.code() != asio::error::operation_aborted)
      log::error("agent.task_failed", {{"task", name}, {"message", error.what()}});
  } catch (const std::exception& error) {
    log::error("agent.task_failed", {{"task", name}, {"message", error.what()}});
  }
  if (running_.empty() && idle_) std::exchange(idle_, nullptr)();
}

void TaskGroup::when_empty(std::function<void()> idle) {
  if (running_.empty()) {
    idle();
    return;
  }
  idle_ = std::move(idle);
}

}  // namespace icon::agent
