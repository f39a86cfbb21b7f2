// Many small coroutines at once, but not too many: bounded fan-out over a list.
#pragma once

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstddef>
#include <exception>

#include "base/task.h"

namespace icon::discovery {

// Runs work(0) .. work(count - 1), `width` of them at a time, in order of starting; returns when
// all have ended. `work` returns Task<void>. Cancelling waits for the end all the same: what the
// workers refer to lives in the caller, so each must be bounded by itself.
template <class Work>
Task<void> for_each_index(std::size_t count, std::size_t width, Work& work) {
  namespace asio = boost::asio;
  const auto executor = co_await asio::this_coro::executor;
  co_await asio::this_coro::throw_if_cancelled(false);
  asio::steady_timer ended(executor, asio::steady_timer::time_point::max());
  std::size_t next = 0;
  std::size_t running = std::min(count, width);
  const auto worker = [&]() -> Task<void> {
    while (next < count) {
      const std::size_t mine = next++;
      co_await work(mine);
    }
  };
  for (std::size_t i = running; i > 0; --i) {
    asio::co_spawn(executor, worker, [&](std::exception_ptr failure) {
      --running;
      ended.cancel();
      if (failure) std::rethrow_exception(failure);
    });
  }
  while (running > 0) co_await ended.async_wait(asio::as_tuple(asio::use_awaitable));
  co_await asio::this_coro::throw_if_cancelled(true);
}

}  // namespace icon::discovery
