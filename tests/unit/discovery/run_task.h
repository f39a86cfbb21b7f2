// Runs one coroutine to its end on a loop of its own or a given one.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <optional>
#include <utility>

#include "base/task.h"

namespace icon::discovery {

template <class T>
T run_task(IoContext& loop, Task<T> task) {
  std::optional<T> outcome;
  boost::asio::co_spawn(loop, std::move(task), [&](std::exception_ptr failure, T value) {
    if (failure) std::rethrow_exception(failure);
    outcome.emplace(std::move(value));
    loop.stop();
  });
  loop.restart();
  loop.run();
  return std::move(*outcome);
}

template <class T>
T run_task(Task<T> task) {
  IoContext loop(1);
  return run_task(loop, std::move(task));
}

}  // namespace icon::discovery
