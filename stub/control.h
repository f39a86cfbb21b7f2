// The redirector's control socket: how the supervisor gives it routes and reads its counters.
//   PUT /v1/routes {"routes":[..]} -> {"routes":n}      replaces all
//   GET /v1/routes -> {"routes":[..]}
//   GET /v1/status -> {"pid","port","routes":n,"statistics":{..}}
#pragma once

#include <string_view>

#include "base/fd.h"
#include "base/http.h"
#include "base/result.h"
#include "base/task.h"
#include "stub/redirector.h"

namespace icon::stub {

inline constexpr std::size_t kControlBodyBytesMax = 4 << 20;
inline constexpr int kControlConnectionsMax = 8;
inline constexpr Millis kControlRequestMax{5'000};

// Pure but for `redirector`.
http::Response handle_control(Redirector& redirector, std::string_view method,
                              std::string_view target, std::string_view body);

// Serves a bound and listening unix socket until the loop ends. Only root and `owner_uid` are
// heard. `redirector` outlives the loop's run. Errors: kIo.
Status serve_control(IoContext& loop, UniqueFd listener, unsigned owner_uid,
                     Redirector& redirector);

}  // namespace icon::stub
