// A TUN device: a network interface whose packets this process reads and writes.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace icon::tunnel {

// Creates or takes over the interface, in the current network namespace; non-blocking, one IP
// packet per read and write, no header. A persistent one outlives the descriptor, with its routes.
// Errors: kConflict (another process has it), kUnavailable (no /dev/net/tun), kRefused, kIo.
Result<UniqueFd> open_tun(const std::string& name, bool persistent);
// Takes the persistence back: the interface goes with the descriptor.
Status drop_persistence(const UniqueFd& tun);

}  // namespace icon::tunnel
