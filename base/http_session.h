// One connection of the HTTP server: requests one after the other, each within its limits. It knows
// bytes and deadlines, not sockets: the server gives it a Connection. Private to
// base/http_server.cc.
#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/system/error_code.hpp>
#include <optional>
#include <span>
#include <string>

#include "base/http_server.h"

namespace icon::http {

// A connection as the session uses it. Loop thread only.
class Connection {
 public:
  struct Got {
    boost::system::error_code error;
    std::size_t bytes = 0;
  };
  virtual ~Connection() = default;
  // Up to room.size() bytes; an error at the end of the stream or the deadline.
  virtual Task<Got> read_some(boost::asio::mutable_buffer room) = 0;
  // All of `parts`, which stay in place until it returns.
  virtual Task<boost::system::error_code> write(
      std::span<const boost::asio::const_buffer> parts) = 0;
  // The deadline of what follows.
  virtual void expires_after(Millis time) = 0;
  virtual void expires_never() = 0;
};

// What all connections of a server share; it outlives them.
struct SessionContext {
  const Router& router;
  const Limits& limits;
  std::string icon_id;
  std::optional<Address> peer_address = std::nullopt;
};

// Serves `connection` until it is to be closed. References must outlive the task.
Task<void> run_session(Connection& connection, const SessionContext& context,
                       std::optional<PublicKey> peer_key);

}  // namespace icon::http
