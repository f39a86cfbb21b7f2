// Work in the background of which one piece runs at a time: what is begun about once a second by
// somebody who must not wait for it.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <exception>
#include <memory>
#include <utility>

#include "base/task.h"

namespace icon::supervisor {

// Loop thread only. It may go before its work does.
class OneAtATime {
 public:
  // Left out while the last piece still runs. What `work` refers to must outlive it.
  void begin(IoContext& loop, Task<void> work) {
    if (std::exchange(*runs_, true)) return;
    boost::asio::co_spawn(loop, std::move(work),
                          [runs = runs_](const std::exception_ptr&) { *runs = false; });
  }

 private:
  std::shared_ptr<bool> runs_ = std::make_shared<bool>(false);
};

}  // namespace icon::supervisor
