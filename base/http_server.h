// The supervisor's HTTP server: routes with coroutine handlers, on unix sockets and on TLS 1.3.
// Boost.Beast. Every connection, header, body and wait has a limit. Loop thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/http.h"
#include "base/keys.h"
#include "base/task.h"

namespace boost::asio::ssl {
class context;
}

namespace icon::http {

// The body of a request while it arrives, for bulk uploads.
class BodyReader {
 public:
  virtual ~BodyReader() = default;
  // Next bytes (valid until the next call); empty at the end. Errors: kIo, kTimeout, kLimit.
  virtual Task<Result<std::span<const char>>> read_some() = 0;
};

// The answer while it is made, for events and logs: lines as chunks. The handler's coroutine is
// cancelled as soon as the client closes the connection (or the server stops).
class LineWriter {
 public:
  virtual ~LineWriter() = default;
  // Errors: kIo when the client has gone.
  virtual Task<Status> write_line(std::string line) = 0;
};

struct Request {
  std::string method;
  std::string path;                           // decoded, without query
  std::map<std::string, std::string> query;   // decoded
  std::map<std::string, std::string> params;  // "{name}" parts of the route
  std::string body;                           // empty for streamed uploads
  std::optional<PublicKey> peer_key;          // TLS: the key the client proved
  std::optional<Address> peer_address;        // TLS: where it called from
  std::string icon_id;                        // unix: the ICON whose socket this came through
};

using Handler = std::function<Task<Response>(Request)>;
using UploadHandler = std::function<Task<Response>(Request, BodyReader&)>;
using StreamHandler = std::function<Task<void>(Request, LineWriter&)>;

// Routes by method and path pattern: "/v1/icons/{id}/logs". Immutable once a server uses it.
class Router {
 public:
  void on(std::string method, std::string pattern, Handler handler);
  void on_upload(std::string method, std::string pattern, UploadHandler handler);
  void on_stream(std::string method, std::string pattern, StreamHandler handler);

  struct Match {
    const Handler* handler = nullptr;
    const UploadHandler* upload = nullptr;
    const StreamHandler* stream = nullptr;
    std::map<std::string, std::string> params;
    bool path_known = false;  // another method exists for this path: 405
  };
  // `path` as it came, still percent-encoded: an escaped '/' separates nothing.
  Match find(std::string_view method, std::string_view path) const;

 private:
  struct Route {
    std::string method;
    std::vector<std::string> parts;
    Handler handler;
    UploadHandler upload;
    StreamHandler stream;
  };
  Route& add(std::string method, std::string_view pattern);
  std::vector<Route> routes_;
};

struct Limits {
  std::size_t header_bytes_max = 16 << 10;
  std::size_t body_bytes_max = 4 << 20;  // of a request that is not an upload
  std::size_t connections_max = 512;
  std::size_t connections_per_address_max = 64;  // TLS: one stranger does not take all
  Millis idle{60'000};                           // between requests
  Millis request{30'000};  // to receive a header and a body that is not an upload
  Millis upload_idle{30'000};
};

class Server {
 public:
  virtual ~Server() = default;
  // Stops accepting, cancels what is open (handlers too) and removes the unix socket's file. Safe
  // to call twice; also on destruction.
  virtual void stop() = 0;
  virtual std::size_t connections() const = 0;
  virtual Endpoint local_endpoint() const = 0;  // of a TLS server (port 0 resolved)
};

// Listens on a unix socket (mode as given; an old socket file is replaced; `path` may be longer
// than a socket address allows). Requests carry `icon_id`. `router` must outlive the server.
// Errors: kIo, kRefused, kConflict (somebody listens there).
Result<std::unique_ptr<Server>> serve_unix(IoContext& loop, const std::string& path, unsigned mode,
                                           std::string icon_id, const Router& router,
                                           Limits limits);
// TLS 1.3 only, mutual: a client must prove an Ed25519 key with a self-signed certificate; which
// key is for the handlers to judge (Request::peer_key). `tls` from base/tls.h.
Result<std::unique_ptr<Server>> serve_tls(IoContext& loop, const Endpoint& endpoint,
                                          boost::asio::ssl::context& tls, const Router& router,
                                          Limits limits);

}  // namespace icon::http
