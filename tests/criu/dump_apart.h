// A dump as a move makes it: memory ahead, while the cage's animal runs, and the rest by CRIU.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <memory>
#include <utility>
#include <vector>

#include "migration/memory/page_source.h"
#include "tests/criu/cage.h"
#include "tests/criu/page_carrier.h"

namespace icon::migration::test {

// The page frames go to `take`, a callable that returns Task<Status>. The animal stays frozen.
template <class Take>
Task<Status> dump_apart(Cage& cage, Take take) {
  const auto executor = co_await boost::asio::this_coro::executor;
  auto processes = [&cage]() -> Result<std::vector<int>> { return cage.cgroup().processes(); };
  ICON_CO_TRY(auto source, PageSource::start(executor, std::move(processes)));
  boost::asio::steady_timer carried(executor, SteadyTime::max());
  boost::asio::co_spawn(executor, carry(*source, std::move(take)),
                        [&carried](std::exception_ptr) { carried.expires_at(SteadyTime::min()); });
  co_await until_converged(*source);
  ICON_CO_CHECK(co_await cage.cgroup().freeze());
  ICON_CO_CHECK(co_await source->finish());
  auto request = cage.dump_request();
  request.memory_apart = true;
  ICON_CO_CHECK(co_await cage.checkpointer().dump(std::move(request)));
  co_await carried.async_wait(kNoThrow);
  co_return Status{};
}

}  // namespace icon::migration::test
