// libunbound's sockets and timers on our loop, so that validation needs neither a thread nor
// another event loop.
#pragma once

#include <unbound-event.h>
#include <unbound.h>

#include <memory>

#include "base/task.h"

namespace icon::discovery {

// What ub_ctx_create_ub_event() wants. `loop` and the object outlive the context. Loop thread.
class UnboundLoop {
 public:
  explicit UnboundLoop(IoContext& loop);
  UnboundLoop(const UnboundLoop&) = delete;
  UnboundLoop& operator=(const UnboundLoop&) = delete;
  ub_event_base* base() { return &base_; }

  struct Base : ub_event_base {
    IoContext* loop = nullptr;
  };

 private:
  Base base_;
};

}  // namespace icon::discovery
