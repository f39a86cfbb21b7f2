// The supervisor's handle on its redirector process, `icon-stub`: start it, find it again after a
// supervisor restart, give it routes, stop it. One process serves all redirecting ICONs of a host.
//
// How a connection gets there: the supervisor adds an nft rule `tcp dport DIALLED redirect to
// :PORT` (PORT = port()) for new connections of a migrated ICON; the process asks the kernel for
// the dialled port (SO_ORIGINAL_DST) and answers by the route for it.
//
// The process outlives its supervisor on purpose: the destructor leaves it running, only stop()
// ends it. It holds the listening sockets, so an adopted process keeps its port.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/result.h"
#include "base/subprocess.h"
#include "base/task.h"
#include "stub/route.h"
#include "stub/statistics.h"

namespace icon::stub {

struct StubOptions {
  std::string program = "icon-stub";  // looked up in PATH when it holds no '/'
  // An existing directory that only root can enter; holds stub.sock (control) and stub.pid.
  std::string run_directory;
  Endpoint listen;        // port 0: the kernel chooses; see StubProcess::port()
  std::string log_path;   // appended to, one event per line; empty: none
  Millis timeout{2'000};  // of each call on the control socket
};

// Owner: the supervisor. Thread: the loop's.
class StubProcess {
 public:
  // Binds the sockets, starts the process and waits until it answers. Errors: kConflict (one runs
  // there already: adopt it), kNotFound (no program), kIo.
  static Task<Result<StubProcess>> start(StubOptions options);
  // Finds the process that an earlier supervisor started in `options.run_directory`.
  // Errors: kNotFound when there is none (a stale socket file included), kTimeout when it hangs.
  static Task<Result<StubProcess>> adopt(StubOptions options);
  // adopt(), else start().
  static Task<Result<StubProcess>> adopt_or_start(StubOptions options);

  StubProcess() = default;  // a handle on nothing: not running, stop() does nothing
  StubProcess(StubProcess&&) noexcept = default;
  StubProcess& operator=(StubProcess&& other) noexcept;
  ~StubProcess();  // leaves the process running

  int pid() const { return pid_; }
  std::uint16_t port() const { return port_; }  // where the nft rule redirects to
  bool running() const;

  // Replaces all routes; idempotent. Call again with everything after a second move or an adoption.
  // Errors: kInvalid, kLimit, kConflict (the set is refused whole), kIo, kTimeout (process gone).
  Task<Status> set_routes(std::vector<Route> routes);
  Task<Result<StubStatistics>> statistics();

  // SIGTERM, then SIGKILL after 500 ms; removes control socket and pid file. Blocks that long at
  // most; the process normally ends within a millisecond. Safe to call twice.
  void stop();

 private:
  StubOptions options_;
  std::optional<ChildProcess> child_;  // absent when adopted: init reaps that one
  UniqueFd pidfd_;
  int pid_ = -1;
  std::uint16_t port_ = 0;
};

}  // namespace icon::stub
