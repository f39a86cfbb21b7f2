// Opens a TUN device: layer 3, no packet information header. Used by icon-tunnel, which also has
// the kernel leave cutting and summing to it, and by the supervisor (to take over a dead tunnel's
// interface; to queue a frozen ICON's packets).
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace icon::tunnel {

// Creates the interface or attaches to a persistent one that nobody holds. Errors: kConflict when
// somebody holds it, kUnavailable without /dev/net/tun, kRefused.
Result<UniqueFd> open_tun(const std::string& name, bool persistent);
// The interface goes when the last descriptor does.
Status drop_persistence(const UniqueFd& tun);

// What this kernel took of what we can do.
struct TunOffload {
  bool tcp = false;  // both families
  bool udp = false;  // Linux 6.2 and later
};
struct OffloadedTun {
  UniqueFd fd;
  TunOffload offload;
};
// As open_tun(), but each packet has an OffloadHeader in front and may be up to 64 KiB long.
// REQUIRES CAP_NET_ADMIN, and keeps the device's bursts within what one UDP_SEGMENT send carries.
Result<OffloadedTun> open_offloaded_tun(const std::string& name, bool persistent);

// Of the interface now; 0 when it is gone. `socket` is any of the same namespace.
std::size_t mtu_of(int socket, const std::string& name);

}  // namespace icon::tunnel
