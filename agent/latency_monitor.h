// Listens to the kernel about the service's connections: a dump every few seconds, and a
// notification for each connection that ends (short ones live between two dumps). No proxy, no
// capability; only the namespace's own connections are seen.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "agent/latency_table.h"
#include "base/result.h"
#include "base/task.h"

namespace icon::agent {

inline constexpr std::size_t kWatchedPortsMax = 64;

// Owner: the agent. Loop thread. Sockets are open between start() and stop() only: netlink sockets
// hold kernel state that must not be in a checkpoint.
class LatencyMonitor {
 public:
  // `table` is borrowed and outlives the monitor.
  LatencyMonitor(IoContext& loop, LatencyTable& table);
  ~LatencyMonitor();

  // Watches connections to these local ports. Errors: kUnavailable (no sock_diag here), kLimit.
  Status start(std::vector<std::uint16_t> ports);
  // Closes everything at once. Safe to call twice.
  void stop();
  // A dump now, synchronously; for a round that wants fresh numbers. Errors: kIo.
  Status dump_now();

 private:
  class Session;
  IoContext& loop_;
  LatencyTable& table_;
  std::shared_ptr<Session> session_;
};

}  // namespace icon::agent
