// The three faces of the daemon: docs/api.md. Each function adds its routes to a router; `host`
// outlives it.
#pragma once

#include "base/http_server.h"

namespace icon::supervisor {

struct Host;

// Section 1: the ICON's own socket. Request::icon_id says who speaks.
void add_icon_routes(http::Router& router, Host& host);
// The same, and section 3's, for what an ICON and its replicas say to each other.
void add_kin_routes(http::Router& router, Host& host);
void add_kin_peer_routes(http::Router& router, Host& host);
// Section 2: the host's socket, for operators, the `icon` command and Prometheus.
void add_host_routes(http::Router& router, Host& host);
// Section 3: other hosts, over TLS. The routes of moves come from Mover::add_peer_routes().
void add_peer_routes(http::Router& router, Host& host);

}  // namespace icon::supervisor
