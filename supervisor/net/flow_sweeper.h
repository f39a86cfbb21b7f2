// Forgets connections that are over, so that what a host remembers of them cannot touch the ones
// that arrive: docs/network.md, "What a host forgets". On threads of its own, because both tables
// are walked whole.
#pragma once

#include <atomic>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <set>

#include "base/address.h"
#include "base/result.h"
#include "supervisor/net/fast_flows.h"

namespace icon::net {

// Owned by the Network, used on its thread. The destructor waits for what is under way.
class FlowSweeper {
 public:
  // Works in the network namespace of the calling thread. `flows`: with the fast path.
  explicit FlowSweeper(std::optional<FastFlows> flows);
  ~FlowSweeper();
  FlowSweeper(const FlowSweeper&) = delete;
  FlowSweeper& operator=(const FlowSweeper&) = delete;

  enum class Which {
    kAll,
    kEnded,  // closed by both ends or reset; and what connection tracking keeps of bypassing ones
    kEndedLately,  // the same, quicker: of those only that users have opened
  };
  struct Sweep {
    std::shared_future<void> done;
    // Set: nothing more is erased. What comes too late would take what is new.
    std::shared_ptr<std::atomic<bool>> is_void;
  };
  // Of one ICON, given by its addresses. Failures are logged.
  Sweep sweep(std::set<Address> overlays, Which which);
  // Of the whole host: what connection tracking keeps of connections that bypass it, and everything
  // of the ICONs that have `left`.
  std::shared_future<void> tidy(std::set<Address> left);

 private:
  std::shared_future<void> post(std::function<Status()> work);
  Status sweep_now(const std::set<Address>& overlays, Which which,
                   const std::atomic<bool>& is_void) const;
  Status tidy_now(const std::set<Address>& left) const;
  bool bypasses(const TrackedConnection& connection) const {
    return flows_ && flows_->carries(connection);
  }
  const std::optional<FastFlows> flows_;
  boost::asio::thread_pool pool_;
};

}  // namespace icon::net
