// What Asks wants done at the exchange, done: calls of /v2/sales at another host (docs/api.md).
#pragma once

#include <string>

#include "base/json.h"
#include "base/result.h"
#include "base/task.h"
#include "supervisor/config.h"

namespace icon::supervisor {

struct Host;

// A call of /v2/sales there; with an empty `body` nothing is sent. Errors: kIo, kTimeout, kLimit,
// kUnauthenticated (another key answers), and those that the other side names.
Task<Result<json::Object>> call_sales(Host& host, ExchangeAddress at, std::string method,
                                      std::string target, json::Object body);

// Asks, commits, reveals and looks at outcomes again and again; returns at once when this host's
// slots are not for an exchange. Loop thread only.
Task<void> keep_asking(Host& host);

}  // namespace icon::supervisor
