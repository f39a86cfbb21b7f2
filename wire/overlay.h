// Every ICON has one overlay address that never changes: it follows from its key, so that every
// host gives it the same one without asking anybody.
#pragma once

#include <array>
#include <cstdint>

#include "base/address.h"
#include "base/keys.h"

namespace icon::wire {

// Out of 100.64.0.0/10 (RFC 6598), without the block's first and last address. 22 bits of a hash:
// two ICONs may share one, in which case a host that runs the first refuses the second (kConflict).
Address overlay_address(const PublicKey& icon);

// Beside it, for clients that speak IPv6: out of fd49:636f:6e31::/48 (RFC 4193), 80 bits of a hash.
Address overlay_address6(const PublicKey& icon);

// The MAC address of the ICON's eth0: locally administered, unicast, the same on every host.
std::array<std::uint8_t, 6> overlay_mac(const PublicKey& icon);

}  // namespace icon::wire
