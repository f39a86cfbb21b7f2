// Tunnels by the kernel's own WireGuard, where it has it: no process, no copy to user space.
#pragma once

#include <memory>

#include "supervisor/net/tunnel_device.h"
#include "supervisor/net/tunnel_process.h"

namespace icon::net {

// Whether this kernel can make a link of kind "wireguard" here and now: one is made and removed.
// Errors: kRefused without CAP_NET_ADMIN, kIo.
Result<bool> kernel_has_wireguard();

// REQUIRES kernel_has_wireguard(). The interfaces outlive this object.
std::unique_ptr<TunnelDevices> make_kernel_tunnels(std::uint16_t port_first);

// The kernel's where it can do what is asked for, else processes of icon-tunnel. A limit on what a
// peer may bring in is asked of icon-tunnel only.
std::unique_ptr<TunnelDevices> make_tunnel_devices(IoContext& loop, TunnelProcessOptions options);

}  // namespace icon::net
