// Tunnels as processes of icon-tunnel (supervisor/tunnel), spoken to over their control sockets.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/task.h"
#include "supervisor/net/tunnel_device.h"

namespace icon::net {

struct TunnelProcessOptions {
  std::string program;           // looked up in PATH unless it is a path
  std::string directory;         // holds <interface>.sock, .conf and .log
  std::uint16_t port_first = 0;  // see NetworkConfig::tunnel_port_first
  TunnelLimit limit;             // of every peer
  bool publish = false;          // see NetworkConfig::publish_tunnels
};

// The processes outlive this object and are adopted by the next one; while it lives, one that dies
// is started again.
std::unique_ptr<TunnelDevices> make_tunnel_processes(IoContext& loop, TunnelProcessOptions options);

}  // namespace icon::net
