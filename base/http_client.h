// HTTP over a unix socket, for those who talk to a supervisor on their own host: the agent and the
// `icon` command. Boost.Beast, no TLS, no OpenSSL: the agent links it statically.
// Calls between hosts go through supervisor/peer_client.h (libcurl, TLS 1.3).
#pragma once

#include <functional>
#include <string>

#include "base/clock.h"
#include "base/http.h"
#include "base/result.h"
#include "base/task.h"

namespace icon::http {

struct UnixRequest {
  std::string socket_path;
  std::string method = "GET";
  std::string target;  // "/v1/self?x=y"
  std::string body;    // application/json when not empty
  Millis timeout{10'000};
  std::size_t response_bytes_max = 4 << 20;
};

// One request on a connection of its own. Errors: kNotFound/kRefused/kIo (no supervisor), kTimeout,
// kLimit, kInvalid. Any HTTP status is a Response. Loop thread only.
Task<Result<Response>> request(UnixRequest request);
Result<Response> request_blocking(UnixRequest request);

// Reads a response of JSON lines that does not end (events, logs): `on_line` per line, until it
// returns false, the peer closes (success) or the coroutine is cancelled. A line is at most 1 MiB.
// `timeout` limits the wait for the response header; afterwards `idle_max` the silence.
Task<Status> stream_lines(UnixRequest request, Millis idle_max,
                          std::function<bool(std::string_view)> on_line);
Status stream_lines_blocking(UnixRequest request, Millis idle_max,
                             std::function<bool(std::string_view)> on_line);

}  // namespace icon::http
