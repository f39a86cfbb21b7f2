// The life of the host daemon: adopt what runs, recover half-done moves, open the sockets, look
// after leases, stop. Owned by main. Loop thread only.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <cstdint>
#include <memory>

#include "base/http_server.h"
#include "base/result.h"
#include "base/task.h"
#include "supervisor/host.h"
#include "supervisor/one_at_a_time.h"

namespace icon::supervisor {

class Daemon {
 public:
  // Parts and routes; nothing listens, nothing is adopted. Errors: those of Host::create().
  static Result<std::unique_ptr<Daemon>> create(IoContext& loop, Clock& clock, Config config);
  ~Daemon();

  // Returns when everything is adopted and recovered and the sockets are open. Errors: kConflict
  // (a socket or the port is taken), kIo.
  Task<Status> start();
  // Once a second, until the coroutine is cancelled: expiries and ends. Waits for nothing else: a
  // sale that is looked after too late is void.
  Task<void> look_after();
  // Closes and removes the sockets. ICONs, tunnels and stubs go on, for the next supervisor, unless
  // `stop_icons`.
  Task<void> stop(bool stop_icons);

  Host& host() { return *host_; }
  Endpoint api_endpoint() const;

 private:
  void tidy(std::uint64_t turn);
  explicit Daemon(std::unique_ptr<Host> host) : host_(std::move(host)) {}

  std::unique_ptr<Host> host_;
  std::unique_ptr<boost::asio::ssl::context> tls_;
  http::Router icon_router_;
  http::Router host_router_;
  http::Router peer_router_;
  std::unique_ptr<http::Server> host_server_;
  std::unique_ptr<http::Server> peer_server_;
  OneAtATime tidying_;           // of what Docker did not remove
  std::uint64_t forget_at_ = 0;  // the turn
};

}  // namespace icon::supervisor
