// Can this ICON move? Asked by operators, and by every move before it begins.
#pragma once

#include <string>

#include "base/http_server.h"
#include "base/json.h"
#include "base/result.h"
#include "base/task.h"

namespace icon::supervisor {

struct Host;

// GET /v1/icons/{id}/movable[?to=..]: what stands in the way here and at that destination, and
// whether it has room. Errors: kNotFound, kConflict when the ICON does not run.
Task<Result<json::Value>> describe_movable(Host& host, http::Request request);

// GET /v1/traits[?to=..]: what this host can do; with `to`, what that one can, what stands in the
// way of moves from here to there, and whether it has room at all.
Task<Result<json::Value>> describe_hosts(Host& host, http::Request request);

// Errors: kRefused, with what stands in the way; all of it is in the log. When that cannot be found
// out the move may try.
Task<Status> refuse_unmovable(Host& host, std::string icon_id, std::string migration_id);

}  // namespace icon::supervisor
