// Tunnels as processes of icon-tunnel (supervisor/tunnel), spoken to over their control sockets.
#pragma once

#include <memory>
#include <string>

#include "base/task.h"
#include "supervisor/net/tunnel_device.h"

namespace icon::net {

// `program` is looked up in PATH unless it is a path; `directory` holds <interface>.sock, .conf and
// .log. The processes outlive this object and are adopted by the next one; while it lives, one that
// dies is started again.
std::unique_ptr<TunnelDevices> make_tunnel_processes(IoContext& loop, std::string program,
                                                     std::string directory);

}  // namespace icon::net
