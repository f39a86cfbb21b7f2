// The supervisor and the DHT node beside it, icon-dht: it advertises this provider there, and
// carries look-ups of ICONs. The node proves nothing and is not believed: whoever reads an
// advertisement checks its signature.
#pragma once

#include "base/http_server.h"
#include "base/json.h"
#include "base/result.h"
#include "base/task.h"

namespace icon::supervisor {

struct Host;

// Publishes a fresh advertisement again and again; returns at once when the configuration names no
// DHT or the host sells nothing. Loop thread only.
Task<void> keep_advertised(Host& host);

// POST /v1/self/dht. Errors: kUnavailable (no DHT here), kInvalid, kLimit, kIo, kTimeout.
Task<Result<json::Value>> carry_dht_lookup(Host& host, http::Request request);

}  // namespace icon::supervisor
